-- Counts of a queue as they were, in order.
SELECT epoch, seq, time, scheduled, queued, blocked, running, retrying, succeeded, failed, cancelled
  FROM queue_snapshots WHERE partition = $1 AND (time, seq) > ($2, $3)
 ORDER BY time, seq LIMIT $4

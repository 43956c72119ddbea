SELECT epoch, seq, time, scheduled, queued, blocked, running, retrying, succeeded, failed, cancelled
  FROM queue_snapshots WHERE partition = $1 AND time <= $2
 ORDER BY time DESC, seq DESC LIMIT 1

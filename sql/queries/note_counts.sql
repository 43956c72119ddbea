-- The counts of a queue, as this transaction leaves them.
INSERT INTO queue_snapshots (partition, epoch, seq, time, scheduled, queued, blocked, running,
                             retrying, succeeded, failed, cancelled)
SELECT $1::text, $2::int, $3::bigint, $4::bigint,
       coalesce(sum(count) FILTER (WHERE state = 'scheduled'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'queued'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'blocked'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'running'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'retrying'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'succeeded'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'failed'), 0),
       coalesce(sum(count) FILTER (WHERE state = 'cancelled'), 0)
  FROM job_counts WHERE queue = $1

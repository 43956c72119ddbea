-- The counts of a queue right after some events of a batch: those that this transaction leaves, less
-- what the events behind each of them add.
INSERT INTO queue_snapshots (partition, epoch, seq, time, scheduled, queued, blocked, running,
                             retrying, succeeded, failed, cancelled)
SELECT $1::text, $2::int, noted.seq, noted.time,
       at_end.scheduled - noted.scheduled, at_end.queued - noted.queued,
       at_end.blocked - noted.blocked, at_end.running - noted.running,
       at_end.retrying - noted.retrying, at_end.succeeded - noted.succeeded,
       at_end.failed - noted.failed, at_end.cancelled - noted.cancelled
  FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
              $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
       AS noted (seq, time, scheduled, queued, blocked, running, retrying, succeeded, failed, cancelled),
       (SELECT coalesce(sum(count) FILTER (WHERE state = 'scheduled'), 0) AS scheduled,
               coalesce(sum(count) FILTER (WHERE state = 'queued'), 0) AS queued,
               coalesce(sum(count) FILTER (WHERE state = 'blocked'), 0) AS blocked,
               coalesce(sum(count) FILTER (WHERE state = 'running'), 0) AS running,
               coalesce(sum(count) FILTER (WHERE state = 'retrying'), 0) AS retrying,
               coalesce(sum(count) FILTER (WHERE state = 'succeeded'), 0) AS succeeded,
               coalesce(sum(count) FILTER (WHERE state = 'failed'), 0) AS failed,
               coalesce(sum(count) FILTER (WHERE state = 'cancelled'), 0) AS cancelled
          FROM job_counts WHERE queue = $1) AS at_end

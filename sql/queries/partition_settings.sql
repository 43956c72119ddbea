-- Events that tell how a partition is set up, and those of jobs that hold a lock for a time: they may
-- have ended. A look at the whole archive, for there is no index of these.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE partition = $1
   AND (type LIKE 'queue.%' OR type LIKE 'schedule.%' OR type LIKE 'worker.%'
        OR (type IN ('job.submitted', 'job.replaced')
            AND body::text LIKE '%"lock_scope":"period"%'))
 ORDER BY epoch, seq

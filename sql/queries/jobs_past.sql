-- The same of many jobs. The earliest of their submissions leaves older partitions alone.
SELECT partition, epoch, seq, time, entry, type, job, version,
       CASE type WHEN 'job.checkpointed' THEN '{"step":""}'::json ELSE body END AS body, raw
  FROM job_events
 WHERE job = ANY ($1::uuid[]) AND time BETWEEN $2 AND $3 ORDER BY job, version

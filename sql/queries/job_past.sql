-- The history of a job up to an instant, but for what its steps gave: that changes nothing in it,
-- and may be large.
SELECT partition, epoch, seq, time, entry, type, job, version,
       CASE type WHEN 'job.checkpointed' THEN '{"step":""}'::json ELSE body END AS body, raw
  FROM job_events
 WHERE job = $1 AND version > $2 AND time <= $3 ORDER BY version LIMIT $4

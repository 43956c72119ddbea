-- The last event that gave a job its spec.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE job = $1 AND type IN ('job.submitted', 'job.replaced') ORDER BY version DESC LIMIT 1

-- The history of a job but for its specs and steps, which attempts do not tell of and which may be
-- large.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE job = $1 AND version > $2 AND type NOT IN ('job.submitted', 'job.replaced', 'job.checkpointed')
 ORDER BY version LIMIT $3

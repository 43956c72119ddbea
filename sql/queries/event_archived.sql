-- Whether the archive has this very event of this job.
SELECT 1 FROM job_events WHERE job = $1 AND partition = $2 AND epoch = $3 AND seq = $4

-- The events of some jobs, each job's in order; none is before the first of their submissions.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events WHERE job = ANY ($1::uuid[]) AND time >= $2 ORDER BY job, version, seq

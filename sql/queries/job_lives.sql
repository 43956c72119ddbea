-- All events of some jobs.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events WHERE job = ANY ($1::uuid[]) ORDER BY job, version

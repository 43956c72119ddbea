-- Those of some jobs that ended before a time, as their last event tells.
SELECT job FROM (
    SELECT DISTINCT ON (job) job, type, time FROM job_events
     WHERE job = ANY ($1::uuid[]) ORDER BY job, version DESC
) AS last
 WHERE type IN ('job.succeeded', 'job.failed', 'job.cancelled', 'job.discarded') AND time < $2

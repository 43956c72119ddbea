SELECT DISTINCT ON (job) partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events WHERE job = ANY ($1::uuid[]) AND type IN ('job.submitted', 'job.replaced')
 ORDER BY job, version DESC

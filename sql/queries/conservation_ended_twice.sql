-- Jobs that were told to end a second time: that event was parked.
SELECT DISTINCT p.partition, j.id
  FROM parked_events p JOIN jobs j ON convert_to(j.id::text, 'UTF8') = p.job
 WHERE p.type IN ('job.succeeded', 'job.failed', 'job.cancelled')
   AND j.state IN ('succeeded', 'failed', 'cancelled')
 LIMIT 1000

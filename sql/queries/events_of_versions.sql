-- One event of each of these jobs, by its version.
SELECT partition, epoch, seq, time, entry, type, event.job, event.version, body, raw
  FROM unnest($1::uuid[], $2::int[]) AS wanted (job, version)
  JOIN job_events AS event ON event.job = wanted.job AND event.version = wanted.version
 WHERE time <= $3

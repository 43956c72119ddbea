-- Archived events of one epoch after a seq, in order.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE partition = $1 AND epoch = $2 AND seq > $3
 ORDER BY seq LIMIT $4

SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events WHERE job = $1 AND version > $2 ORDER BY version LIMIT $3

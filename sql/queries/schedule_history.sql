SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE job IS NULL AND type LIKE 'schedule.%'
   AND substring(body::text from '"schedule":"([^"]*)"') = $1
   AND (time, partition, seq) < ($2, $3, $4)
 ORDER BY time DESC, partition DESC, seq DESC LIMIT $5

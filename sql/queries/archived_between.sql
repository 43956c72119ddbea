SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE partition = $1 AND epoch = ANY ($2::int[]) AND seq BETWEEN $3 AND $4

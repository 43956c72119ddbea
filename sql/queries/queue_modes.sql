-- The last of the pauses, drains and resumptions of a queue until an instant, the latest first.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM job_events
 WHERE job IS NULL AND type LIKE 'queue.%' AND partition = $1 AND time <= $2
   AND type IN ('queue.paused', 'queue.draining', 'queue.resumed')
 ORDER BY time DESC, epoch DESC, seq DESC LIMIT $3

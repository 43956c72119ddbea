-- Events that no column would take when they were first projected, and why.
SELECT parked.seq, parked.reason
  FROM :live.parked_events AS parked
  JOIN :live.job_events AS event USING (partition, epoch, seq, time)
 WHERE parked.partition = $1 AND event.raw IS NOT NULL

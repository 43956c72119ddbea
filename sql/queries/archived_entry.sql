-- The stream id of an archived event, below which the log may be cut off.
SELECT seq, entry FROM job_events WHERE partition = $1 AND epoch = $2 AND seq = $3

-- The stream id of an event that is some way behind: what the log may be cut off below.
SELECT seq, entry FROM job_events
 WHERE partition = $1 AND epoch = $2 AND seq = $3 AND time <= $4

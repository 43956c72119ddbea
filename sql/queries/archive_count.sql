SELECT count(*) FROM :live.job_events
 WHERE partition = $1 AND epoch = $2 AND seq > $3 AND seq <= $4

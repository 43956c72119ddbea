-- Where the archive of a partition ends.
SELECT seq FROM job_events WHERE partition = $1 AND epoch = $2 ORDER BY seq DESC LIMIT 1

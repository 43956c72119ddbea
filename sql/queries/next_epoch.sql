-- The first epoch after $2 of which the archive has events.
SELECT epoch FROM job_events WHERE partition = $1 AND epoch > $2 ORDER BY epoch LIMIT 1

SELECT state, sum(count)::bigint AS count FROM job_counts
 WHERE ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR type = $2)
 GROUP BY state

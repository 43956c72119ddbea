SELECT queue, state, sum(count)::bigint AS count FROM job_counts
 WHERE queue = ANY ($1::text[]) GROUP BY queue, state

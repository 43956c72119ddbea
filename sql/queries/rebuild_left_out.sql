INSERT INTO :shadow.rebuild_left_out AS old (queue, jobs)
SELECT queue, sum(jobs) FROM unnest($1::text[], $2::bigint[]) AS gone (queue, jobs) GROUP BY queue
    ON CONFLICT (queue) DO UPDATE SET jobs = old.jobs + excluded.jobs

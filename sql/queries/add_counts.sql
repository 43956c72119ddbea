INSERT INTO job_counts (queue, type, state, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    ON CONFLICT (queue, type, state) DO UPDATE SET count = job_counts.count + excluded.count

INSERT INTO dropped_before AS old (kind, queue, before)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
    ON CONFLICT (kind, queue) DO UPDATE SET before = greatest(old.before, excluded.before)

INSERT INTO conservation (partition, jobs, lost, doubled, stuck, examples)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::json[])
ON CONFLICT (partition) DO UPDATE
   SET checked_at = now(), jobs = excluded.jobs, lost = excluded.lost,
       doubled = excluded.doubled, stuck = excluded.stuck, examples = excluded.examples

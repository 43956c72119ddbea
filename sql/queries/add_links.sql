INSERT INTO job_links (dependent, parent, flow)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
    ON CONFLICT DO NOTHING

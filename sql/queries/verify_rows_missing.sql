-- Those of some jobs that have no row, though no event of theirs was parked.
SELECT id FROM unnest($1::uuid[]) AS wanted (id)
 WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.id = wanted.id)
   AND NOT EXISTS (SELECT FROM parked_events WHERE job = convert_to(wanted.id::text, 'UTF8'))

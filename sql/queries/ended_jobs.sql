SELECT id FROM jobs
 WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid
   AND state IN ('succeeded', 'failed', 'cancelled')

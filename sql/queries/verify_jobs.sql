-- Rows by id; with $3 only those of some queues.
SELECT * FROM jobs
 WHERE id > $1 AND ($3::text[] IS NULL OR queue = ANY ($3))
 ORDER BY id LIMIT $2

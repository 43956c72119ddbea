-- Another spec of a waiting job: the columns that no other event changes. :table as in change_jobs.
UPDATE :table
   SET type = $2, priority = $3, max_attempts = $4, payload_codec = $5, payload = $6, metadata = $7,
       tags = $8, concurrency_key = $9, rate_key = $10, schedule = $11, occurrence = $12,
       flow = $13, on_parent_failure = $14
 WHERE id = $1

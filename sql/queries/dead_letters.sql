-- Latest failure first.
SELECT queue, type, reason, fingerprint, label, count, first_at, last_at, sample
  FROM dead_letters
 WHERE count > 0
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR type = $3)
   AND ($4::text IS NULL OR fingerprint = $4)
   AND ($5::bigint IS NULL
        OR (last_at, queue, type, reason, fingerprint) < ($5, $6::text, $7::text, $8::text, $9::text))
 ORDER BY last_at DESC, queue DESC, type DESC, reason DESC, fingerprint DESC
 LIMIT $1

-- Seals of a partition after a number; their leaves only if $4.
SELECT partition, number, epoch, first_seq, last_seq, root, previous, sealed_at, key, signature,
       CASE WHEN $4 THEN leaves ELSE '' END AS leaves
  FROM seals WHERE partition = $1 AND number > $2 ORDER BY number LIMIT $3

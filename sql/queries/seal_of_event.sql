SELECT partition, number, epoch, first_seq, last_seq, root, previous, sealed_at, key, signature,
       leaves
  FROM seals WHERE partition = $1 AND epoch = $2 AND first_seq <= $3
 ORDER BY first_seq DESC LIMIT 1

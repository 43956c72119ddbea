-- Which events between two seqs retention dropped, and when (ms).
SELECT epoch, first_seq, last_seq, (extract(epoch FROM dropped_at) * 1000)::bigint AS dropped_at
  FROM dropped_events
 WHERE partition = $1 AND epoch = ANY ($2::int[]) AND first_seq <= $4 AND last_seq >= $3

-- How many events between two seqs, both included, retention dropped.
SELECT coalesce(sum(least(last_seq, $4) - greatest(first_seq, $3) + 1), 0)::bigint AS count
  FROM dropped_events
 WHERE partition = $1 AND epoch = $2 AND first_seq <= $4 AND last_seq >= $3

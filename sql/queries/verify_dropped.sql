-- How many events between two seqs, both included, retention dropped or were declared to be nowhere.
SELECT coalesce(sum(least(last, $4) - greatest(first, $3) + 1), 0)::bigint AS count,
       coalesce(bool_or(declared), false) AS declared
  FROM (SELECT first_seq AS first, last_seq AS last, false AS declared FROM dropped_events
         WHERE partition = $1 AND epoch = $2
         UNION ALL
        SELECT first, last, true FROM log_gaps WHERE partition = $1) AS gone
 WHERE first <= $4 AND last >= $3

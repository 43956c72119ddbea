-- How many shards a rebuild has, and of how many events each was to fold how many are done.
SELECT max(shards) AS shards, sum(seq)::bigint AS done, sum(until)::bigint AS total
  FROM :shadow.rebuild_progress

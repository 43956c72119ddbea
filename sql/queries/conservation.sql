SELECT partition, (extract(epoch FROM checked_at) * 1000)::bigint AS checked_at, jobs, lost, doubled,
       stuck, examples
  FROM conservation ORDER BY partition

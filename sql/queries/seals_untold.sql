-- Partitions with seals that a target was not told of, and after which number.
SELECT c.partition, coalesce(t.number, 0) AS number
  FROM checkpoints c
  JOIN LATERAL (SELECT number FROM seals s WHERE s.partition = c.partition
                 ORDER BY number DESC LIMIT 1) AS last ON true
  LEFT JOIN seal_targets t ON t.target = $1 AND t.partition = c.partition
 WHERE last.number > coalesce(t.number, 0)
 ORDER BY c.partition

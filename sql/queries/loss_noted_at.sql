-- When it was noted that the log of a partition was lost, whose archive ends there: ms since 1970.
SELECT (extract(epoch FROM detected_at) * 1000)::bigint AS time
  FROM log_losses
 WHERE partition = $1 AND epoch = $2 AND archived = $3

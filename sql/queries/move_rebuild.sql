UPDATE rebuild_progress SET seq = $4, skipped_at = greatest(skipped_at, $5::bigint)
 WHERE partition = $1 AND shard = $2 AND seq = $3
RETURNING 1

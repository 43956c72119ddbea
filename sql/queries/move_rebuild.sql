UPDATE rebuild_progress SET seq = $4 WHERE partition = $1 AND shard = $2 AND seq = $3
RETURNING 1

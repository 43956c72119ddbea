-- What a shard ($1 of $2) has left to fold.
SELECT partition, until FROM :shadow.rebuild_progress
 WHERE shard = $1 AND shards = $2 AND seq < until ORDER BY partition

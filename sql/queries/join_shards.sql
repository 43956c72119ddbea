-- All shards are at the same events now: one goes on for all.
WITH others AS (DELETE FROM :shadow.rebuild_progress WHERE shard > 0)
UPDATE :shadow.rebuild_progress SET shards = 1 WHERE shard = 0

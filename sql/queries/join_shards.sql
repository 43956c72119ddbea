-- All shards are at the same events now: one goes on for all.
WITH others AS (DELETE FROM :shadow.rebuild_progress WHERE shard > 0)
UPDATE :shadow.rebuild_progress AS one
   SET shards = 1, skipped_at = (SELECT max(each.skipped_at) FROM :shadow.rebuild_progress AS each
                                  WHERE each.partition = one.partition)
 WHERE shard = 0

-- A partition that was first projected after the rebuild began.
INSERT INTO rebuild_progress (partition, shard, shards, seq, until) VALUES ($1, 0, 1, 0, 0)
    ON CONFLICT DO NOTHING

-- How far each shard of a rebuild is, in the shadow itself: it moves in the transactions that fill it.
-- A shard folds its share of the jobs up to `until`; then one goes on for all (shards = 1).
CREATE TABLE :shadow.rebuild_progress (
    partition text NOT NULL,
    shard     int NOT NULL,
    shards    int NOT NULL,
    seq       bigint NOT NULL,
    until     bigint NOT NULL,
    skipped_at bigint,                     -- ms; of the last event that was left out, see strides.py
    PRIMARY KEY (partition, shard)
)

INSERT INTO :shadow.rebuild_progress (partition, shard, shards, seq, until)
SELECT partition, shard, $1, 0, seq
  FROM :live.checkpoints, generate_series(0, $1 - 1) AS shards (shard)

SELECT own.partition, own.seq, main.seq AS until
  FROM projection_checkpoints AS own JOIN checkpoints AS main USING (partition)
 WHERE own.name = $1 ORDER BY own.partition

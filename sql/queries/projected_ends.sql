SELECT partition, seq FROM :live.checkpoints ORDER BY partition

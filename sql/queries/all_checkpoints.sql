SELECT partition, epoch, seq, entry, halted FROM checkpoints ORDER BY partition

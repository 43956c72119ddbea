SELECT partition, epoch, seq, entry, halted FROM checkpoints WHERE partition = ANY ($1::text[])

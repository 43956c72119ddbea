INSERT INTO checkpoints (partition, epoch, seq, entry) VALUES ($1, $2, 0, '0-0')
    ON CONFLICT (partition) DO NOTHING

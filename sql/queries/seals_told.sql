INSERT INTO seal_targets (target, partition, number) VALUES ($1, $2, $3)
ON CONFLICT (target, partition) DO UPDATE SET number = greatest(seal_targets.number, excluded.number)

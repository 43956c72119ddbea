UPDATE checkpoints SET halted = $4, updated_at = now()
 WHERE partition = $1 AND epoch = $2 AND seq = $3 AND halted IS DISTINCT FROM $4

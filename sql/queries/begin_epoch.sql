-- Goes on with the log of a new epoch, if nobody else did.
UPDATE checkpoints SET epoch = $4, entry = '0-0', halted = NULL, updated_at = now()
 WHERE partition = $1 AND epoch = $2 AND seq = $3
RETURNING 1

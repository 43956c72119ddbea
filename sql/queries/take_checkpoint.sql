-- Moves a checkpoint, if nobody else did; tells those who wait, once this is committed.
UPDATE checkpoints
   SET seq = $4, entry = $5, halted = NULL, updated_at = now()
 WHERE partition = $1 AND epoch = $2 AND seq = $3
RETURNING pg_notify('millstream', partition || ':' || epoch || ':' || seq)

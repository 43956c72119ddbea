-- Moves a checkpoint over events that are nowhere, and says so; nothing if it moved meanwhile.
WITH moved AS (
    UPDATE checkpoints SET epoch = $4, seq = $6, entry = $7, halted = NULL, updated_at = now()
     WHERE partition = $1 AND epoch = $2 AND seq = $3
    RETURNING partition
)
INSERT INTO log_gaps (partition, first, last, actor, reason)
SELECT partition, $5, $6, $8, $9 FROM moved
RETURNING 1

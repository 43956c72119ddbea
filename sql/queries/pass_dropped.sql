-- Moves a checkpoint over events that retention dropped before they were exported, and says so;
-- nothing if it moved meanwhile.
WITH moved AS (
    UPDATE checkpoints SET seq = $5, halted = NULL, updated_at = now()
     WHERE partition = $1 AND epoch = $2 AND seq = $3
    RETURNING partition, epoch
)
INSERT INTO dropped_events (partition, epoch, first_seq, last_seq)
SELECT partition, epoch, $4, $5 FROM moved
RETURNING 1

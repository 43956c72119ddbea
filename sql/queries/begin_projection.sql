-- Checkpoints of a user's projection, one for each partition there is by now.
INSERT INTO projection_checkpoints (name, partition, seq)
SELECT $1, partition, 0 FROM checkpoints
    ON CONFLICT DO NOTHING

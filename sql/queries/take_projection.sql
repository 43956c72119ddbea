-- Moves the checkpoint of a user's projection, if nobody else did.
UPDATE projection_checkpoints SET seq = $4 WHERE name = $1 AND partition = $2 AND seq = $3
RETURNING 1

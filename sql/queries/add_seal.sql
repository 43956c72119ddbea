-- 1 row, unless another sealer was first.
INSERT INTO seals (partition, number, epoch, first_seq, last_seq, root, previous, sealed_at, key,
                   signature, leaves)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING

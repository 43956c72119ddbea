-- Of each partition: how far it is archived, and its last seal.
SELECT c.partition, c.epoch, c.seq, last.number, last.epoch AS sealed_epoch, last.last_seq,
       last.first_seq, last.root, last.previous, last.sealed_at,
       (extract(epoch FROM now()) * 1000)::bigint AS now
  FROM checkpoints c
  LEFT JOIN LATERAL (SELECT * FROM seals s WHERE s.partition = c.partition
                      ORDER BY number DESC LIMIT 1) AS last ON true
 ORDER BY c.partition

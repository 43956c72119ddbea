-- Epoch by epoch, since only within one epoch are the events after a seq one range of the index. A page
-- also ends at the event with which its bodies, as they are stored, come to 8 MiB: who reads a log of
-- large results must not hold a thousand of them.
SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
  FROM (
    SELECT event.*, sum(coalesce(pg_column_size(body), 0) + coalesce(pg_column_size(raw), 0))
           OVER (ORDER BY epoch, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
      FROM (
        SELECT event.*
          FROM generate_series(1, (SELECT epoch FROM checkpoints WHERE partition = $1)) AS epochs (n),
               LATERAL (SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
                          FROM job_events
                         WHERE partition = $1 AND epoch = epochs.n AND seq > $2
                         ORDER BY seq LIMIT $3) AS event
         ORDER BY epoch, seq LIMIT $3
      ) AS event
  ) AS event
 WHERE bytes_before IS NULL OR bytes_before < 8388608
 ORDER BY epoch, seq

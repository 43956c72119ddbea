-- What events after a seq and until a time do to their jobs, in order: with their bodies only where
-- the type does not tell ($7). The times keep it to few days ($4: one before that of the seq, to be
-- sure); epoch by epoch, and a page ends behind 8 MiB of bodies, as in partition_events.
SELECT epoch, seq, time, entry, type, job, version, body, raw
  FROM (
    SELECT event.*, sum(coalesce(pg_column_size(body), 0) + coalesce(pg_column_size(raw), 0))
           OVER (ORDER BY epoch, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
      FROM (
        SELECT event.*
          FROM generate_series($2::int, (SELECT epoch FROM checkpoints WHERE partition = $1)) AS epochs (n),
               LATERAL (SELECT epoch, seq, time, entry, type, job, version, raw,
                               CASE WHEN type = ANY ($7::text[]) THEN body END AS body
                          FROM job_events
                         WHERE partition = $1 AND epoch = epochs.n AND seq > $3
                           AND time >= $4 AND time <= $5
                         ORDER BY seq LIMIT $6) AS event
         ORDER BY epoch, seq LIMIT $6
      ) AS event
  ) AS event
 WHERE bytes_before IS NULL OR bytes_before < 8388608
 ORDER BY epoch, seq

-- Of the next $3 events of a partition after a seq: those of some types, at most $5 of them and no more
-- than 8 MiB of bodies, and the last event that was looked at, without its body if it is of another
-- type. `whole`: no seq is missing among those that were looked at.
SELECT partition, epoch, seq, time, entry, type, job, version, raw,
       CASE WHEN hit THEN body ELSE '{}' END AS body, whole
  FROM (
    SELECT event.*, lead(seq) OVER looked IS NULL AS last,
           count(*) OVER () = max(seq) OVER () - $2 AS whole
      FROM (
        SELECT event.*,
               count(*) FILTER (WHERE hit) OVER before AS hits_before,
               sum(bytes) FILTER (WHERE hit) OVER before AS bytes_before
          FROM (
            SELECT event.*, type = ANY ($4::text[]) OR raw IS NOT NULL AS hit,
                   coalesce(pg_column_size(body), 0) + coalesce(pg_column_size(raw), 0) AS bytes
              FROM generate_series(1, (SELECT epoch FROM checkpoints WHERE partition = $1)) AS epochs (n),
                   LATERAL (SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
                              FROM job_events
                             WHERE partition = $1 AND epoch = epochs.n AND seq > $2
                             ORDER BY seq LIMIT $3) AS event
             ORDER BY epoch, seq LIMIT $3
          ) AS event
        WINDOW before AS (ORDER BY epoch, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
      ) AS event
     WHERE hits_before < $5 AND (bytes_before IS NULL OR bytes_before < 8388608)
    WINDOW looked AS (ORDER BY epoch, seq)
  ) AS event
 WHERE hit OR last
 ORDER BY epoch, seq

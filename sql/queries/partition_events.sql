-- Epoch by epoch, since only within one epoch are the events after a seq one range of the index.
SELECT event.*
  FROM generate_series(1, (SELECT epoch FROM checkpoints WHERE partition = $1)) AS epochs (n),
       LATERAL (SELECT partition, epoch, seq, time, entry, type, job, version, body, raw
                  FROM job_events
                 WHERE partition = $1 AND epoch = epochs.n AND seq > $2
                 ORDER BY seq LIMIT $3) AS event
 ORDER BY epoch, seq LIMIT $3

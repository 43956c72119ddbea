-- Each unbroken range of events that go.
INSERT INTO dropped_events (partition, epoch, first_seq, last_seq)
SELECT partition, epoch, min(seq), max(seq)
  FROM (SELECT partition, epoch, seq,
               seq - row_number() OVER (PARTITION BY partition, epoch ORDER BY seq) AS island
          FROM :table AS event
         WHERE event.partition = ANY($1::text[])
           AND NOT EXISTS (SELECT FROM legal_holds AS held WHERE held.queue = event.partition)
           AND NOT EXISTS (SELECT FROM jobs AS job WHERE job.id = event.job)
           AND NOT (event.job IS NULL
                    AND event_stands(event.type, event.partition, event.time, event.body))
           AND NOT EXISTS (SELECT FROM parked_events AS parked
                            WHERE parked.partition = event.partition
                              AND parked.job = convert_to(event.job::text, 'UTF8'))) AS gone
 GROUP BY partition, epoch, island

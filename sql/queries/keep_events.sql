INSERT INTO :table
SELECT event.* FROM :table_old AS event
 WHERE NOT (event.partition = ANY($1::text[])
       AND NOT EXISTS (SELECT FROM legal_holds AS held WHERE held.queue = event.partition)
       AND NOT EXISTS (SELECT FROM jobs AS job WHERE job.id = event.job)
       AND NOT (event.job IS NULL
                AND event_stands(event.type, event.partition, event.time, event.body))
       AND NOT EXISTS (SELECT FROM parked_events AS parked
                        WHERE parked.partition = event.partition
                          AND parked.job = convert_to(event.job::text, 'UTF8')))

-- All events of the day, and those that stay: of jobs there are, of queues that are kept, and those
-- that say how queues and schedules are set up.
SELECT count(*) AS total, count(*) FILTER (WHERE NOT (
           event.partition = ANY($1::text[])
       AND NOT EXISTS (SELECT FROM legal_holds AS held WHERE held.queue = event.partition)
       AND NOT EXISTS (SELECT FROM jobs AS job WHERE job.id = event.job)
       AND NOT (event.job IS NULL
                AND event_stands(event.type, event.partition, event.time, event.body))
       AND NOT EXISTS (SELECT FROM parked_events AS parked
                        WHERE parked.partition = event.partition
                          AND parked.job = convert_to(event.job::text, 'UTF8')))) AS kept
  FROM :table AS event

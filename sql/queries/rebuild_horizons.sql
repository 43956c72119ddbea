-- Up to when (ms) the archive cannot tell all of a queue any more. `events`: some were dropped for their
-- age, or are of jobs whose beginning was; `minutes`: or statistics were dropped themselves.
-- What was dropped had been there for a day, so nothing is added to those minutes while this runs.
INSERT INTO :shadow.rebuild_horizons (queue, events, minutes)
SELECT * FROM (
    SELECT head.partition, events, greatest(events, before) AS minutes
      FROM :live.checkpoints AS head
      LEFT JOIN :live.dropped_before AS told ON told.kind = 'minutes'
      LEFT JOIN LATERAL (
            SELECT epoch, last_seq, extract(epoch FROM dropped_at)::bigint * 1000 AS dropped_at
              FROM :live.dropped_events AS gone WHERE gone.partition = head.partition
             ORDER BY epoch DESC, last_seq DESC LIMIT 1) AS gone ON true
      LEFT JOIN LATERAL (
            SELECT time FROM :live.job_events AS event
             WHERE event.partition = head.partition
               AND (event.epoch, event.seq) > (gone.epoch, gone.last_seq)
             ORDER BY event.epoch, event.seq LIMIT 1) AS next ON true
      LEFT JOIN LATERAL (
            SELECT max(skipped_at) AS skipped_at FROM :shadow.rebuild_progress AS progress
             WHERE progress.partition = head.partition) AS progress ON true,
           LATERAL (SELECT greatest(
                least(CASE WHEN gone.epoch IS NOT NULL THEN
                      (coalesce(next.time, split_part(head.entry, '-', 1)::bigint) / 60000 + 1) * 60000
                      END, gone.dropped_at - 86400000),
                (skipped_at / 60000 + 1) * 60000) AS events) AS found
) AS horizons WHERE minutes IS NOT NULL

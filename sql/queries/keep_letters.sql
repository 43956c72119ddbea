-- When an error was met first, and which job failed last of those that failed with it, may be known
-- from events that were dropped.
INSERT INTO :shadow.dead_letters AS old
       (queue, type, reason, fingerprint, label, count, first_at, last_at, sample)
SELECT queue, type, reason, fingerprint, label, 0, first_at, last_at, sample
  FROM :live.dead_letters AS new JOIN :shadow.rebuild_horizons AS horizon USING (queue)
 WHERE first_at < horizon.events
    ON CONFLICT (queue, type, reason, fingerprint) DO UPDATE
   SET first_at = least(old.first_at, excluded.first_at),
       (label, last_at, sample) = (
           SELECT label, last_at, sample
             FROM (VALUES (old.label, old.last_at, old.sample),
                          (excluded.label, excluded.last_at, excluded.sample))
                  AS two (label, last_at, sample)
            ORDER BY last_at DESC, sample DESC LIMIT 1)

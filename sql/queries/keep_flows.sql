-- The first and the last event of a flow may have been of a job that was dropped.
UPDATE :shadow.flows AS new
   SET first_at = CASE WHEN old.first_at < horizon.events
                       THEN least(old.first_at, new.first_at) ELSE new.first_at END,
       last_at = CASE WHEN old.last_at < horizon.events
                      THEN greatest(old.last_at, new.last_at) ELSE new.last_at END
  FROM :live.flows AS old,
       (SELECT max(events) AS events FROM :shadow.rebuild_horizons) AS horizon
 WHERE old.id = new.id AND old.first_at < horizon.events

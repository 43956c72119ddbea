-- What became of a schedule, newest first: its events belong to no job. The name is cut out of the
-- text, since reading a body as JSON fails on a \u0000 in it, and an index that fails would stop the
-- projector; names hold no quotes, and a quote inside a reason is escaped.
CREATE INDEX job_events_schedules
    ON job_events (substring(body::text from '"schedule":"([^"]*)"'), time, partition, seq)
 WHERE job IS NULL AND type LIKE 'schedule.%';

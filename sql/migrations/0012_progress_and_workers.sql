-- How far a job has come, as its handler told it last: {value, message, at}. NULL: it told nothing.
ALTER TABLE jobs ADD COLUMN progress json;

-- Workers that were lost, and what came of each since. The name is cut out of the text, as that of a
-- schedule is in 0007; it holds no quotes.
CREATE INDEX job_events_workers_lost ON job_events (time)
 WHERE job IS NULL AND type = 'worker.lost';

CREATE INDEX job_events_workers
    ON job_events (substring(body::text from '"worker":"([^"]*)"'), partition, epoch, seq)
 WHERE job IS NULL AND type LIKE 'worker.%';

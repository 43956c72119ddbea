-- Failed jobs that are alike (core/fingerprint.py) and were neither run again nor discarded since,
-- counted. A group whose count is 0 stays, so that it is known when its error was met first, and so
-- that however the log is cut into batches the table is the same.
-- Jobs that failed before this migration have no fingerprint: they are counted by state alone.
CREATE TABLE dead_letters (
    queue       text NOT NULL,
    type        text NOT NULL,
    reason      text NOT NULL,
    fingerprint text NOT NULL,
    label       text NOT NULL,
    count       bigint NOT NULL,
    first_at    bigint NOT NULL,           -- ms since 1970 of the first failure there ever was
    last_at     bigint NOT NULL,
    sample      uuid NOT NULL,             -- the job that failed last
    PRIMARY KEY (queue, type, reason, fingerprint),
    CONSTRAINT dead_letters_count CHECK (count >= 0)
) WITH (fillfactor = 50);

CREATE INDEX dead_letters_latest ON dead_letters (last_at, queue, type, reason, fingerprint)
    WHERE count > 0;

ALTER TABLE jobs
    ADD COLUMN fingerprint text,           -- of failed jobs
    ADD COLUMN discarded   boolean NOT NULL DEFAULT false,
    ADD COLUMN command     text;           -- the action on many jobs that ran it again

CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint, id) WHERE fingerprint IS NOT NULL;
CREATE INDEX jobs_by_command ON jobs (command, id) WHERE command IS NOT NULL;

-- Sums the projector keeps in the transaction of the events they count, so that no page has to
-- count a big table.
CREATE TABLE job_counts (
    queue text NOT NULL,
    type  text NOT NULL,
    state text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (queue, type, state)
) WITH (fillfactor = 50);

CREATE TABLE job_minutes (
    minute    bigint NOT NULL,             -- ms since 1970 of its beginning
    queue     text NOT NULL,
    type      text NOT NULL,
    submitted bigint NOT NULL,
    started   bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    retried   bigint NOT NULL,
    PRIMARY KEY (minute, queue, type)
) WITH (fillfactor = 50);

-- Histograms of how long jobs waited (ready to started) and attempts ran (started to their end).
-- The bounds of a bucket are in projections/histogram.py.
CREATE TABLE job_minute_durations (
    minute bigint NOT NULL,
    queue  text NOT NULL,
    type   text NOT NULL,
    kind   text NOT NULL,
    bucket smallint NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (minute, queue, type, kind, bucket),
    CONSTRAINT job_minute_durations_kind CHECK (kind IN ('wait', 'run'))
) WITH (fillfactor = 50);

-- The same over all time.
CREATE TABLE job_durations (
    queue  text NOT NULL,
    type   text NOT NULL,
    kind   text NOT NULL,
    bucket smallint NOT NULL,
    count  bigint NOT NULL,
    PRIMARY KEY (queue, type, kind, bucket),
    CONSTRAINT job_durations_kind CHECK (kind IN ('wait', 'run'))
) WITH (fillfactor = 50);

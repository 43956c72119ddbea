-- One row per job, as its events tell it. Partitioned by the day in its UUIDv7, so that retention
-- drops whole days.
CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    submitted_at     bigint NOT NULL,      -- ms since 1970, as all times here
    run_at           bigint,
    ready_at         bigint,
    started_at       bigint,
    finished_at      bigint,
    expires_at       bigint,
    seq              bigint NOT NULL,      -- of the last event folded in
    epoch            int NOT NULL,
    version          int NOT NULL,
    attempt          int NOT NULL,
    max_attempts     int NOT NULL,
    crashes          int NOT NULL,
    priority         smallint NOT NULL,
    cancel_requested boolean NOT NULL,
    queue            text NOT NULL,
    type             text NOT NULL,
    state            text NOT NULL,
    worker           text,
    failure          text,
    error_text       text,                 -- "type: message" for searching
    payload_codec    text,                 -- NULL: json
    result_codec     text,
    payload          json NOT NULL,
    result           json,                 -- NULL: none; a result of null is 'null'
    error            json,
    metadata         json,                 -- NULL: none
    tags             text[],               -- NULL: none
    CONSTRAINT jobs_state CHECK (state IN ('scheduled', 'queued', 'blocked', 'running', 'retrying',
                                           'succeeded', 'failed', 'cancelled')),
    CONSTRAINT jobs_finished CHECK (finished_at IS NOT NULL
                                    OR state NOT IN ('succeeded', 'failed', 'cancelled')),
    CONSTRAINT jobs_counts CHECK (version >= 1 AND attempt >= 0 AND crashes >= 0)
) PARTITION BY RANGE (id);

-- Each index costs the projector on every insert and on most updates, so there are few. All end in
-- the id, which is the order of pages. The mass of jobs has succeeded and is in none by state.
CREATE INDEX jobs_by_state ON jobs (state, id) WHERE state <> 'succeeded';
CREATE INDEX jobs_by_queue ON jobs (queue, id);
CREATE INDEX jobs_by_type ON jobs (type, id);
CREATE INDEX jobs_by_tag ON jobs USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX jobs_with_error ON jobs (id) WHERE error_text IS NOT NULL;

-- Finding a piece of an error's text among millions needs trigrams. Where the extension may not be
-- installed, those with an error are read through instead, newest first.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX jobs_by_error ON jobs USING gin (error_text gin_trgm_ops)
        WHERE error_text IS NOT NULL;
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported
            OR undefined_object THEN
    RAISE NOTICE 'pg_trgm cannot be used here: searching errors reads all that have one';
END
$$;

CREATE FUNCTION uuid_at(ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex(ms), 12, '0') || repeat('0', 20))::uuid
$$;

-- Pages are filled: a change of state is a change of an index, so that no new version of a row could
-- stay in the page of the old one without entries of its own (a HOT update) anyway.
CREATE FUNCTION add_jobs_day(day int) RETURNS boolean LANGUAGE sql AS $$
    SELECT add_partition('jobs', day_name(day), uuid_at(day * 86400000::bigint)::text,
                         uuid_at((day + 1) * 86400000::bigint)::text, 100)
$$;

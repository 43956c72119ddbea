-- The archive: every event ever projected, byte for byte. Times here and in `jobs` are bigint ms
-- since 1970, the number that stands in the log: nothing is converted on the way in or out, and
-- a range of days prunes partitions as it would with timestamptz.
CREATE TABLE job_events (
    time      bigint NOT NULL,
    seq       bigint NOT NULL,
    epoch     int NOT NULL,
    version   int NOT NULL,
    job       uuid,                        -- NULL: an event of the queue itself or of a worker
    partition text NOT NULL,
    entry     text NOT NULL,               -- stream id
    type      text NOT NULL,
    body      json,                        -- json, not jsonb: keeps the bytes, and \u0000
    raw       bytea,                       -- the whole record as JSON where columns cannot hold it
    CONSTRAINT job_events_body CHECK ((body IS NULL) = (raw IS NOT NULL)),
    -- PostgreSQL wants the partition key in it; that a seq is not given to two times is for the
    -- checkpoint to see to.
    CONSTRAINT job_events_position UNIQUE (partition, epoch, seq, time)
) PARTITION BY RANGE (time);

CREATE INDEX job_events_history ON job_events (job, version) WHERE job IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON job_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON job_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- ALWAYS: also where session_replication_role is 'replica'.
ALTER TABLE job_events ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE job_events ENABLE ALWAYS TRIGGER no_truncate;

CREATE FUNCTION add_events_day(day int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := 'job_events_' || day_name(day);
    low bigint := day * 86400000::bigint;
BEGIN
    IF NOT add_partition('job_events', day_name(day), low::text, (low + 86400000)::text, 100) THEN
        RETURN false;
    END IF;
    -- Row triggers come with the attachment, statement triggers do not.
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', child);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', child);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', child);
    RETURN true;
END
$$;

-- What the archive was: heads of its segments, each signed and naming the one before, and the hashes
-- of the events in each (32 bytes each), which the head's root commits to.
CREATE TABLE seals (
    partition text NOT NULL,
    number    bigint NOT NULL,
    epoch     int NOT NULL,
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    root      bytea NOT NULL,
    previous  bytea NOT NULL,
    sealed_at bigint NOT NULL,             -- ms since 1970
    key       text NOT NULL,
    signature bytea NOT NULL,
    leaves    bytea NOT NULL,
    PRIMARY KEY (partition, number),
    CONSTRAINT seals_range CHECK (number >= 1 AND first_seq <= last_seq),
    CONSTRAINT seals_hashes CHECK (length(root) = 32 AND length(previous) = 32
                                   AND length(leaves) = 32 * (last_seq - first_seq + 1))
);

-- Hashes do not compress: trying would cost time and gain nothing.
ALTER TABLE seals ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- Which segment an event is in.
CREATE UNIQUE INDEX seals_by_seq ON seals (partition, epoch, first_seq);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON seals
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE seals ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE seals ENABLE ALWAYS TRIGGER no_truncate;

-- Up to which head each target was told.
CREATE TABLE seal_targets (
    target    text NOT NULL,
    partition text NOT NULL,
    number    bigint NOT NULL,
    PRIMARY KEY (target, partition)
) WITH (fillfactor = 50);

-- The triggers refuse; these privileges are gone besides, so that also the owner must first grant
-- them to itself, which shows. A superuser asks for no privilege.
DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'job_events'::regclass
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM PUBLIC, CURRENT_USER', child);
    END LOOP;
END
$$;
REVOKE UPDATE, DELETE, TRUNCATE ON job_events, seals FROM PUBLIC, CURRENT_USER;

CREATE OR REPLACE FUNCTION add_events_day(day int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := 'job_events_' || day_name(day);
    low bigint := day * 86400000::bigint;
BEGIN
    IF NOT add_partition('job_events', day_name(day), low::text, (low + 86400000)::text, 100) THEN
        RETURN false;
    END IF;
    -- Row triggers come with the attachment, statement triggers and privileges do not.
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', child);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', child);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', child);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM PUBLIC, CURRENT_USER', child);
    RETURN true;
END
$$;

-- Makes one partition of a table, unless it is there. It is made beside the table and then
-- attached, since that keeps out neither readers nor writers; PARTITION OF would keep out both.
CREATE FUNCTION add_partition(parent text, suffix text, low text, high text, fill int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    child text := parent || '_' || suffix;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('millstream.partitions', 0));
    IF to_regclass(quote_ident(child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = %s)',
                   child, parent, fill);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, low, high);
    RETURN true;
END
$$;

-- Days are counted from 1970-01-01, UTC.
CREATE FUNCTION day_name(day int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(date '1970-01-01' + day, 'YYYYMMDD')
$$;

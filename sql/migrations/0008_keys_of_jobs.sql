-- What a job waits for when it is blocked, what limits per key know it by, and the schedule that
-- submitted it (occurrence: ms since 1970).
ALTER TABLE jobs
    ADD COLUMN blocked_on text,
    ADD COLUMN concurrency_key text,
    ADD COLUMN rate_key text,
    ADD COLUMN schedule text,
    ADD COLUMN occurrence bigint;

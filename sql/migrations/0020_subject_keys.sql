-- Keys of the people that jobs are about, wrapped by the operator's secret. This is no projection:
-- what is sealed in the log can be read with these rows alone, so they are backed up on their own.
-- Of an erased key the row stays, without the key and without whose it was.
CREATE TABLE subject_keys (
    id         text PRIMARY KEY,
    subject    text,                       -- digest of the name; NULL: erased
    wrapped    bytea,                      -- NULL: erased
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at  timestamptz,
    actor      text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',
    CONSTRAINT subject_keys_erased CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL)
                                          AND (subject IS NULL) = (wrapped IS NULL))
);

CREATE UNIQUE INDEX subject_keys_of ON subject_keys (subject) WHERE subject IS NOT NULL;

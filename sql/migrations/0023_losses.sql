-- Logs that were lost or went back, and what came of it. What could not be recovered is declared here
-- and never papered over.
CREATE TABLE log_losses (
    partition   text NOT NULL,
    epoch       int NOT NULL,              -- of the log that was lost
    archived    bigint NOT NULL,           -- seq of the last event the archive had of it
    known       bigint NOT NULL,           -- seq of the last event that was known of it
    reason      text NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT now(),
    new_epoch   int,                       -- NULL: not restored yet
    restored_at timestamptz,
    report      json,
    PRIMARY KEY (partition, epoch, archived),
    CONSTRAINT log_losses_known CHECK (known >= archived)
);

-- Events that neither the archive nor any log or export has any more: declared by an operator, so that
-- what comes after them can be projected. Jobs whose events are among them are parked.
CREATE TABLE log_gaps (
    partition   text NOT NULL,
    first       bigint NOT NULL,
    last        bigint NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, first),
    CONSTRAINT log_gaps_range CHECK (first >= 1 AND last >= first)
);

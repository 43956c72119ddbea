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

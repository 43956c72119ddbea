-- Events that could not be applied, and all later ones of the same job: what the log says of that
-- job from there on is kept here and not in its row. Other jobs go on.
CREATE TABLE parked_events (
    partition text NOT NULL,
    epoch     int NOT NULL,
    seq       bigint NOT NULL,
    version   int NOT NULL,
    time      bigint NOT NULL,
    entry     text NOT NULL,
    job       bytea NOT NULL,              -- as it stood in the log, which may be no id at all
    type      bytea NOT NULL,
    body      bytea NOT NULL,
    reason    text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, epoch, seq)
);

CREATE INDEX parked_events_by_job ON parked_events (partition, job);

-- The counts of a queue as they were right after one of its events: where a count at any instant
-- begins, so that it reads the events since and not the whole log. Written by the projector every
-- few thousand events, and every minute in which there are some; which events these are depends on
-- how the log was cut into batches.
CREATE TABLE queue_snapshots (
    partition text NOT NULL,
    time      bigint NOT NULL,             -- ms since 1970, of event `seq`
    epoch     int NOT NULL,
    seq       bigint NOT NULL,
    scheduled bigint NOT NULL,
    queued    bigint NOT NULL,
    blocked   bigint NOT NULL,
    running   bigint NOT NULL,
    retrying  bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    PRIMARY KEY (partition, time, seq)
);

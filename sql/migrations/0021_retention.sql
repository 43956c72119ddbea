-- What must not be dropped, whatever its age: all of a queue, all jobs with a tag, or one job.
CREATE TABLE legal_holds (
    name        text PRIMARY KEY,
    queue       text,
    tag         text,
    job         uuid,
    actor       text NOT NULL,
    reason      text NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT legal_holds_one CHECK (num_nonnulls(queue, tag, job) = 1)
);

-- Which events were dropped for their age: a gap of the archive that is in this table is no loss.
CREATE TABLE dropped_events (
    partition  text NOT NULL,
    epoch      int NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, epoch, first_seq),
    CONSTRAINT dropped_events_range CHECK (last_seq >= first_seq)
);

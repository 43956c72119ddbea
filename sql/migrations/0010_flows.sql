-- Jobs that wait for others, and flows: jobs that were submitted as one.
ALTER TABLE jobs
    ADD COLUMN flow uuid,                  -- the flow it is part of
    ADD COLUMN on_parent_failure text;     -- of a job that waits for others

CREATE INDEX jobs_by_flow ON jobs (flow, id) WHERE flow IS NOT NULL;

-- Who waits, or waited, for whom.
CREATE TABLE job_links (
    dependent uuid NOT NULL,
    parent    uuid NOT NULL,
    flow      uuid,                        -- of the dependent
    PRIMARY KEY (dependent, parent)
);

CREATE INDEX job_links_by_parent ON job_links (parent, dependent);
CREATE INDEX job_links_by_flow ON job_links (flow, dependent, parent) WHERE flow IS NOT NULL;

-- One row per flow, so that no page counts its jobs. It has no constraint on the numbers: a negative
-- one to add is a row of its own until it meets the one that is there.
CREATE TABLE flows (
    id         uuid PRIMARY KEY,
    first_at   bigint NOT NULL,            -- ms since 1970 of the first and the last event of its jobs
    last_at    bigint NOT NULL,
    jobs       bigint NOT NULL,
    scheduled  bigint NOT NULL,
    queued     bigint NOT NULL,
    blocked    bigint NOT NULL,
    running    bigint NOT NULL,
    retrying   bigint NOT NULL,
    succeeded  bigint NOT NULL,
    failed     bigint NOT NULL,
    cancelled  bigint NOT NULL
) WITH (fillfactor = 50);

-- What the projector last saw of each partition's live jobs: whether each is still going somewhere.
CREATE TABLE conservation (
    partition  text PRIMARY KEY,
    checked_at timestamptz NOT NULL DEFAULT now(),
    jobs       bigint NOT NULL,            -- live ones looked at in the last whole round
    lost       bigint NOT NULL,
    doubled    bigint NOT NULL,
    stuck      bigint NOT NULL,
    examples   json NOT NULL               -- kind → job → why, the first of each
) WITH (fillfactor = 50);

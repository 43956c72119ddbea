-- Which version of each projection its tables hold. `tables` is the built-in one (jobs and all that
-- is counted of them); its version in code is VERSION in projections/fold.py.
CREATE TABLE projections (
    name       text PRIMARY KEY,
    version    int NOT NULL,
    rebuilt_at timestamptz,                -- NULL: never rebuilt
    CONSTRAINT projections_version CHECK (version >= 1)
);

INSERT INTO projections (name, version) VALUES ('tables', 1);

-- How far each projection of users' own has the archive of each partition. It moves in the
-- transaction that changes that projection's tables, by compare-and-set.
CREATE TABLE projection_checkpoints (
    name      text NOT NULL,
    partition text NOT NULL,
    seq       bigint NOT NULL,
    PRIMARY KEY (name, partition),
    CONSTRAINT projection_checkpoints_seq CHECK (seq >= 0)
);

-- Up to where retention has dropped by now (ms since 1970): rows of jobs of a queue that ended before,
-- statistics of all queues (`minutes`, queue '') of minutes before. A rebuild does not bring them back.
CREATE TABLE dropped_before (
    kind   text NOT NULL,
    queue  text NOT NULL,
    before bigint NOT NULL,
    PRIMARY KEY (kind, queue),
    CONSTRAINT dropped_before_kind CHECK (kind IN ('jobs', 'minutes'))
);

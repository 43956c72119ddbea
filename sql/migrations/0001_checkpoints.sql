-- How far each partition's log has been projected. The row is the projection's only lock: a batch
-- moves it from the position it was read at, or does nothing.
CREATE TABLE checkpoints (
    partition  text PRIMARY KEY,
    epoch      int NOT NULL,
    seq        bigint NOT NULL,
    entry      text NOT NULL,              -- stream id of event `seq`
    halted     text,                       -- why nothing is projected any more; NULL: all is well
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT checkpoints_position CHECK (epoch >= 1 AND seq >= 0)
) WITH (fillfactor = 50);

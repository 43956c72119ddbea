-- Of jobs without hot state: as which the tables know them now, and how far those are.
SELECT j.id, j.version, c.epoch, c.seq
  FROM jobs j JOIN checkpoints c ON c.partition = j.queue
 WHERE j.id = ANY ($1::uuid[]) AND j.state NOT IN ('succeeded', 'failed', 'cancelled')

-- What the fold needs of jobs that were there: all but payload, metadata and tags. The bounds let
-- only the partitions of those days be looked into.
SELECT id, queue, type, state, priority, attempt, max_attempts, crashes, result, result_codec,
       error, failure, submitted_at, run_at, ready_at, started_at, finished_at, expires_at, worker,
       cancel_requested, flow, fingerprint, discarded, command, progress, version, epoch, seq
  FROM jobs WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid

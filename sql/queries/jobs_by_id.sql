SELECT id, queue, type, state, priority, attempt, max_attempts, crashes, payload, payload_codec,
       result, result_codec, error, failure, submitted_at, run_at, ready_at, started_at,
       finished_at, expires_at, worker, cancel_requested, tags, metadata, blocked_on, concurrency_key,
       rate_key, schedule, occurrence, flow, on_parent_failure, fingerprint, discarded, command,
       progress, version, epoch, seq
  FROM jobs WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid

-- Brings jobs that were there to a later version. Only what can change is written. The bounds keep
-- the other days' partitions out of the plan.
UPDATE jobs
   SET state = new.state, version = new.version, epoch = new.epoch, seq = new.seq,
       attempt = new.attempt, crashes = new.crashes, cancel_requested = new.cancel_requested,
       run_at = new.run_at, ready_at = new.ready_at, started_at = new.started_at,
       finished_at = new.finished_at, expires_at = new.expires_at, worker = new.worker,
       failure = new.failure, error_text = new.error_text, error = new.error,
       result = new.result, result_codec = new.result_codec
  FROM unnest($3::uuid[], $4::text[], $5::int[], $6::int[], $7::bigint[], $8::int[], $9::int[],
              $10::boolean[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
              $15::bigint[], $16::text[], $17::text[], $18::text[], $19::json[], $20::json[],
              $21::text[])
       AS new (id, state, version, epoch, seq, attempt, crashes, cancel_requested, run_at, ready_at,
               started_at, finished_at, expires_at, worker, failure, error_text, error, result,
               result_codec)
 WHERE jobs.id = new.id AND jobs.id BETWEEN $1::uuid AND $2::uuid AND jobs.version < new.version

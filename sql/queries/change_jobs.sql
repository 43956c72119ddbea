-- Brings the staged jobs of one day to their later version. Only what can change is written.
-- :table is the day's own partition: of the whole table the planner would have to guess how many
-- days are touched, and guesses wrong on days it has no statistics of.
UPDATE :table AS old
   SET state = new.state, version = new.version, epoch = new.epoch, seq = new.seq,
       attempt = new.attempt, crashes = new.crashes, cancel_requested = new.cancel_requested,
       run_at = new.run_at, ready_at = new.ready_at, started_at = new.started_at,
       finished_at = new.finished_at, expires_at = new.expires_at, worker = new.worker,
       failure = new.failure, error_text = new.error_text, error = new.error,
       result = new.result, result_codec = new.result_codec,
       blocked_on = new.blocked_on, fingerprint = new.fingerprint, discarded = new.discarded,
       command = new.command, progress = new.progress
  FROM staged_jobs AS new
 WHERE old.id = new.id AND old.version < new.version

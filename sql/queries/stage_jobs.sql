-- Where jobs that change are put before one statement brings all of them into `jobs`.
CREATE TEMPORARY TABLE staged_jobs ON COMMIT DELETE ROWS AS
SELECT id, state, version, epoch, seq, attempt, crashes, cancel_requested, run_at, ready_at,
       started_at, finished_at, expires_at, worker, failure, error_text, error, result, result_codec,
       blocked_on, fingerprint, discarded, command, progress
  FROM jobs LIMIT 0

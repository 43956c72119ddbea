-- Ended jobs whose events are still there though retention has dropped their rows: they go again.
WITH doomed AS MATERIALIZED (
    SELECT job.id
      FROM :shadow.jobs AS job
      JOIN :live.dropped_before AS told ON told.kind = 'jobs' AND told.queue = job.queue
     WHERE job.state IN ('succeeded', 'failed', 'cancelled')
       AND job.finished_at < told.before
       AND NOT EXISTS (SELECT FROM :live.jobs AS kept WHERE kept.id = job.id)
), unlinked AS (
    DELETE FROM :shadow.job_links AS link USING doomed WHERE link.dependent = doomed.id
), gone AS (
    DELETE FROM :shadow.jobs AS job USING doomed WHERE job.id = doomed.id RETURNING job.*
)
SELECT queue, type, state, failure, fingerprint, discarded, flow, count(*)
  FROM gone GROUP BY queue, type, state, failure, fingerprint, discarded, flow

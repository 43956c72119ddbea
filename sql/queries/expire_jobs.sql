WITH doomed AS MATERIALIZED (
    SELECT job.id
      FROM :table AS job
      JOIN unnest($1::text[], $2::bigint[]) AS kept (queue, cutoff) USING (queue)
     WHERE job.state IN ('succeeded', 'failed', 'cancelled')
       AND job.finished_at < kept.cutoff
       AND NOT EXISTS (SELECT FROM legal_holds AS held
                         WHERE held.queue = job.queue OR held.job = job.id
                            OR job.tags @> ARRAY[held.tag])
       AND NOT job_awaited(job.id)
     LIMIT $3
       FOR UPDATE OF job
), unlinked AS (
    DELETE FROM job_links USING doomed WHERE job_links.dependent = doomed.id
), gone AS (
    DELETE FROM :table AS job USING doomed WHERE job.id = doomed.id RETURNING job.*
)
SELECT queue, type, state, failure, fingerprint, discarded, flow, count(*)
  FROM gone GROUP BY queue, type, state, failure, fingerprint, discarded, flow

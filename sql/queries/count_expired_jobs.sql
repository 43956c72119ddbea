SELECT count(*)
  FROM :table AS job JOIN unnest($1::text[], $2::bigint[]) AS kept (queue, cutoff) USING (queue)
 WHERE job.state IN ('succeeded', 'failed', 'cancelled')
   AND job.finished_at < kept.cutoff
   AND NOT EXISTS (SELECT FROM legal_holds AS held
                     WHERE held.queue = job.queue OR held.job = job.id
                        OR job.tags @> ARRAY[held.tag])
   AND NOT job_awaited(job.id)

-- Whether a job of the day is to stay.
SELECT EXISTS (
    SELECT FROM :table AS job
      LEFT JOIN unnest($1::text[], $2::bigint[]) AS kept (queue, cutoff) USING (queue)
     WHERE kept.cutoff IS NULL OR job.finished_at IS NULL OR job.finished_at >= kept.cutoff
        OR job.state NOT IN ('succeeded', 'failed', 'cancelled')
        OR EXISTS (SELECT FROM legal_holds AS held
                     WHERE held.queue = job.queue OR held.job = job.id
                        OR job.tags @> ARRAY[held.tag])
        OR job_awaited(job.id))

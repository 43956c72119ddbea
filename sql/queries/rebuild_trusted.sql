-- What of each queue is not made of events: the rows of statistics that are those of the live tables
-- (those of all time are, in part, wherever there is a horizon), and the ended jobs without a row there
-- that were left out.
SELECT queue, horizon.minutes,
       (SELECT count(*) FROM :shadow.job_minutes AS told
         WHERE told.queue = horizon.queue AND told.minute < horizon.minutes)
       + (SELECT count(*) FROM :shadow.job_minute_durations AS told
           WHERE told.queue = horizon.queue AND told.minute < horizon.minutes) AS rows,
       coalesce(gone.jobs, 0) AS left_out
  FROM :shadow.rebuild_horizons AS horizon
  FULL JOIN :shadow.rebuild_left_out AS gone USING (queue)
 ORDER BY queue

-- Of all time: what the live tables have of the time that the archive cannot tell, and the rebuilt ones
-- of the time since.
INSERT INTO :shadow.job_durations
SELECT queue, type, kind, bucket, sum(count)
  FROM (SELECT queue, type, kind, bucket, count, 0 AS minute FROM :live.job_durations
         UNION ALL
        SELECT queue, type, kind, bucket, -count, minute FROM :live.job_minute_durations
         UNION ALL
        SELECT queue, type, kind, bucket, count, minute FROM :shadow.job_minute_durations) AS told
  JOIN :shadow.rebuild_horizons AS horizon USING (queue)
 WHERE minute = 0 OR minute >= horizon.minutes
 GROUP BY queue, type, kind, bucket
HAVING sum(count) <> 0

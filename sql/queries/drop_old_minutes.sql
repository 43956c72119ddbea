WITH durations AS (
    DELETE FROM job_minute_durations WHERE minute < $1
), minutes AS (
    DELETE FROM job_minutes WHERE minute < $1 RETURNING 1
)
SELECT count(*) FROM minutes

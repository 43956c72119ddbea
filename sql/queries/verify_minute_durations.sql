SELECT queue || '/' || type || '/' || kind || '/' || bucket AS key, sum(count)::bigint AS count
  FROM job_minute_durations WHERE $1::text[] IS NULL OR queue = ANY ($1)
 GROUP BY queue, type, kind, bucket

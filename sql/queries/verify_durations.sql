SELECT queue || '/' || type || '/' || kind || '/' || bucket AS key, count
  FROM job_durations WHERE $1::text[] IS NULL OR queue = ANY ($1)

SELECT queue || '/' || type || '/' || coalesce(failure, '') || '/' || fingerprint AS key,
       count(*) AS count
  FROM jobs
 WHERE state = 'failed' AND fingerprint IS NOT NULL AND NOT discarded
   AND ($1::text[] IS NULL OR queue = ANY ($1))
 GROUP BY queue, type, failure, fingerprint

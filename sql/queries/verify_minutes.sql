SELECT queue || '/' || type AS key, sum(submitted)::bigint AS submitted,
       sum(started)::bigint AS started, sum(succeeded)::bigint AS succeeded,
       sum(failed)::bigint AS failed, sum(cancelled)::bigint AS cancelled,
       sum(retried)::bigint AS retried
  FROM job_minutes WHERE $1::text[] IS NULL OR queue = ANY ($1) GROUP BY queue, type

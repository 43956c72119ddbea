SELECT queue || '/' || type || '/' || state AS key, count(*) AS count
  FROM jobs WHERE $1::text[] IS NULL OR queue = ANY ($1) GROUP BY queue, type, state

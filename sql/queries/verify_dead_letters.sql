SELECT queue, type, reason, fingerprint, label, first_at, last_at, sample
  FROM dead_letters WHERE $1::text[] IS NULL OR queue = ANY ($1)

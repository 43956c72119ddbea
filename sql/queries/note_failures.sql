-- Groups in which jobs failed, whatever became of them since; add_letters counts them.
INSERT INTO dead_letters AS old
       (queue, type, reason, fingerprint, label, count, first_at, last_at, sample)
SELECT queue, type, reason, fingerprint, label, 0, first_at, last_at, sample
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
              $7::bigint[], $8::uuid[])
       AS new (queue, type, reason, fingerprint, label, first_at, last_at, sample)
    ON CONFLICT (queue, type, reason, fingerprint) DO UPDATE
   SET first_at = least(old.first_at, excluded.first_at),
       (label, last_at, sample) = (
           SELECT label, last_at, sample
             FROM (VALUES (old.label, old.last_at, old.sample),
                          (excluded.label, excluded.last_at, excluded.sample))
                  AS two (label, last_at, sample)
            ORDER BY last_at DESC, sample DESC LIMIT 1)

INSERT INTO log_losses AS old (partition, epoch, archived, known, reason)
VALUES ($1, $2, $3::bigint, greatest($3::bigint, $4::bigint), $5)
    ON CONFLICT (partition, epoch, archived) DO UPDATE
   SET known = greatest(old.known, excluded.known)

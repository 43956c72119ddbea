INSERT INTO job_minutes AS old
       (minute, queue, type, submitted, started, succeeded, failed, cancelled, retried)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
                     $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
    ON CONFLICT (minute, queue, type) DO UPDATE
   SET submitted = old.submitted + excluded.submitted,
       started = old.started + excluded.started,
       succeeded = old.succeeded + excluded.succeeded,
       failed = old.failed + excluded.failed,
       cancelled = old.cancelled + excluded.cancelled,
       retried = old.retried + excluded.retried

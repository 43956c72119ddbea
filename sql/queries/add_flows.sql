INSERT INTO flows
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
                     $12::bigint[])
    ON CONFLICT (id) DO UPDATE
   SET first_at = least(flows.first_at, excluded.first_at),
       last_at = greatest(flows.last_at, excluded.last_at),
       jobs = flows.jobs + excluded.jobs, scheduled = flows.scheduled + excluded.scheduled,
       queued = flows.queued + excluded.queued, blocked = flows.blocked + excluded.blocked,
       running = flows.running + excluded.running, retrying = flows.retrying + excluded.retrying,
       succeeded = flows.succeeded + excluded.succeeded, failed = flows.failed + excluded.failed,
       cancelled = flows.cancelled + excluded.cancelled

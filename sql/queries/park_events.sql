INSERT INTO parked_events
       (partition, epoch, seq, version, time, entry, job, type, body, reason)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::int[], $5::bigint[], $6::text[],
                     $7::bytea[], $8::bytea[], $9::bytea[], $10::text[])

-- No upsert: the row is there, and a negative number as a row of its own breaks its constraint.
UPDATE dead_letters AS old
   SET count = old.count + new.count
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
       AS new (queue, type, reason, fingerprint, count)
 WHERE old.queue = new.queue AND old.type = new.type AND old.reason = new.reason
   AND old.fingerprint = new.fingerprint

-- The archived events of one epoch between two seqs, of which this shard folds its own: those of
-- its jobs by a random byte of their ids, and all that the columns could not hold.
SELECT seq, type, job::text AS job, version, body, time, entry, raw
  FROM :live.job_events
 WHERE partition = $1 AND epoch = $2 AND seq > $3 AND seq <= $4
   AND ($6 = 1 OR raw IS NOT NULL
        OR coalesce(get_byte(uuid_send(job), 12), 0) % $6 = $5)
 ORDER BY seq

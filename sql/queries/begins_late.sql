-- Whether events without a beginning may be of jobs that retention dropped. Where a gap was declared
-- they may be of others, which are parked.
SELECT EXISTS (SELECT FROM dropped_events WHERE partition = $1)
   AND NOT EXISTS (SELECT FROM log_gaps WHERE partition = $1) AS pruned

-- Events between two seqs that the archive has no more, for a reason that is known: declared to be
-- nowhere, or dropped for their age.
SELECT first, last FROM log_gaps
 WHERE partition = $1 AND last > $2 AND first <= $3
 UNION ALL
SELECT first_seq, last_seq FROM dropped_events
 WHERE partition = $1 AND last_seq > $2 AND first_seq <= $3
 ORDER BY first

-- Ranges of events that were dropped for their age, between two seq.
SELECT first_seq, last_seq FROM dropped_events
 WHERE partition = $1 AND last_seq > $2 AND first_seq < $3
 ORDER BY first_seq

-- Counts noted before a time; but of each queue the last of them, with which the counts of the time
-- itself begin.
DELETE FROM queue_snapshots AS old
 WHERE time < $1
   AND EXISTS (SELECT FROM queue_snapshots AS later
                WHERE later.partition = old.partition AND later.time < $1
                  AND (later.time, later.seq) > (old.time, old.seq))

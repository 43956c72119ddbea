-- Workers that were lost since $1 (ms) in a queue and did not come back to it: when, latest first.
SELECT substring(body::text from '"worker":"([^"]*)"') AS worker, max(time) AS time
  FROM job_events AS lost
 WHERE job IS NULL AND type = 'worker.lost' AND time >= $1
   AND NOT EXISTS (
       SELECT FROM job_events AS later
        WHERE later.job IS NULL AND later.type LIKE 'worker.%'
          AND substring(later.body::text from '"worker":"([^"]*)"')
              = substring(lost.body::text from '"worker":"([^"]*)"')
          AND later.partition = lost.partition
          AND (later.epoch, later.seq) > (lost.epoch, lost.seq) AND later.time >= $1)
 GROUP BY 1 ORDER BY 2 DESC LIMIT $2

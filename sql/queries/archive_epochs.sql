-- Where each epoch of a log begins and ends in the archive. :live is the schema of the archive.
SELECT epochs.n AS epoch, ends.first, ends.last
  FROM generate_series(1, (SELECT epoch FROM :live.checkpoints WHERE partition = $1)) AS epochs (n),
       LATERAL (SELECT (SELECT min(seq) FROM :live.job_events
                         WHERE partition = $1 AND epoch = epochs.n) AS first,
                       (SELECT max(seq) FROM :live.job_events
                         WHERE partition = $1 AND epoch = epochs.n) AS last) AS ends
 WHERE ends.first IS NOT NULL
 ORDER BY epoch

-- In the order in which they became ready, or are due.
SELECT id::text FROM jobs
 WHERE queue = $1 AND state IN ('scheduled', 'queued', 'blocked', 'running', 'retrying')
 ORDER BY coalesce(ready_at, run_at), seq

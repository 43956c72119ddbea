-- Who waits for whom, where one of the two is of this queue.
SELECT link.parent::text, link.dependent::text, waiting.on_parent_failure, waiting.queue AS waits_in,
       parent.queue AS lives_in, parent.state, parent.discarded
  FROM jobs AS waiting
  JOIN job_links AS link ON link.dependent = waiting.id
  LEFT JOIN jobs AS parent ON parent.id = link.parent
 WHERE waiting.state = 'blocked' AND waiting.blocked_on = 'jobs'
   AND (waiting.queue = $1 OR parent.queue = $1)

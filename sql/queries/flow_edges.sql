SELECT dependent, parent FROM job_links
 WHERE flow = $1 AND (dependent, parent) > ($2::uuid, $3::uuid)
 ORDER BY dependent, parent LIMIT $4

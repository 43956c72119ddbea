SELECT partition, first, last FROM log_gaps WHERE $1::text IS NULL OR partition = $1
 ORDER BY partition, first

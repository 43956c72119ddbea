SELECT DISTINCT partition, job FROM parked_events
 WHERE partition = ANY ($1::text[]) AND job <> ''

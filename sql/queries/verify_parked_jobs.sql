SELECT DISTINCT job FROM parked_events WHERE job = ANY ($1::bytea[])

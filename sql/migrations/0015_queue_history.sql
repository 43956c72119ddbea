-- What operators did to a queue, by time: such events belong to no job, and are few.
CREATE INDEX job_events_queues ON job_events (partition, time)
 WHERE job IS NULL AND type LIKE 'queue.%';

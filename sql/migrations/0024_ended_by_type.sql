-- Failed and cancelled jobs of a type or queue that has few of them, among very many of others. Jobs
-- that succeed are in neither index and pay for neither.
CREATE INDEX jobs_ended_by_type ON jobs (state, type, id) WHERE state IN ('failed', 'cancelled');
CREATE INDEX jobs_ended_by_queue ON jobs (state, queue, id) WHERE state IN ('failed', 'cancelled');

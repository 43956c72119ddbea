"""What every role shares: events, jobs, keys, the log, the queue, settings."""

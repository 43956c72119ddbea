DELETE FROM :shadow.job_durations AS told USING :shadow.rebuild_horizons AS horizon
 WHERE told.queue = horizon.queue

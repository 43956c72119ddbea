INSERT INTO :shadow.:table
SELECT kept.* FROM :live.:table AS kept JOIN :shadow.rebuild_horizons AS horizon USING (queue)
 WHERE kept.minute < horizon.minutes

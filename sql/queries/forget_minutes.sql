-- Statistics of minutes that the archive cannot tell: those of the live tables take their place.
DELETE FROM :shadow.:table AS told USING :shadow.rebuild_horizons AS horizon
 WHERE told.queue = horizon.queue AND told.minute < horizon.minutes

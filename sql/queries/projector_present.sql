-- Whether a projector is connected, or sessions are hidden from us among which one may be.
SELECT coalesce(bool_or(application_name = 'millstream projector'
                        OR query = '<insufficient privilege>'), false) AS present
  FROM pg_stat_activity WHERE datname = current_database()

INSERT INTO :live.projections (name, version, rebuilt_at) VALUES ($1, $2, now())
    ON CONFLICT (name) DO UPDATE SET version = $2, rebuilt_at = now()

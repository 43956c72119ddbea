"""The projector: folds the event log into PostgreSQL tables, and reads them."""

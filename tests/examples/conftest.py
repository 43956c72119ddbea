"""What pages about tables show is run on the log and the tables that the tests of these have."""

from tests.projections.conftest import log, pool

__all__ = ["log", "pool"]

"""Drops what is older than operators want to keep: jobs that ended, their events, statistics.

A job goes as a whole: first its row, once it has ended long enough ago, then its events, by days.
So what is left can be rebuilt from what is left, and no history is ever shown in part.
"""

from .keeper import keep_dropping
from .policy import Policy
from .run import Dropped, drop_expired

__all__ = ["Dropped", "Policy", "drop_expired", "keep_dropping"]

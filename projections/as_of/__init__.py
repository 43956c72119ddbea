"""What was: a job, a page of jobs, a queue's counts at any past instant, and what changed between
two. Times are ms of the log; an event of the very instant has happened.

All of it is the fold of events, by the same functions that made the tables. Errors: Unavailable;
Behind, where too much is not archived yet; HistoryLost, where events are missing.
"""

from .counts import Counts, counts_at
from .difference import Difference
from .jobs import JobPast
from .page import page_at

__all__ = [
    "Counts",
    "Difference",
    "JobPast",
    "counts_at",
    "page_at",
]

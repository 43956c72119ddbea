"""What happened to a job between two instants."""

from collections.abc import Sequence
from typing import NamedTuple

from ...core.events import Record
from ...core.jobs import Job

MOST_EVENTS = 500
"""Events told with a difference."""


class Difference(NamedTuple):
    """A job at two instants (None: it did not exist yet), and the events in between.

    `more`: how many of those are not told here.
    """

    before: Job | None
    after: Job
    events: Sequence[Record]
    more: int

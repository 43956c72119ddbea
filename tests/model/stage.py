"""What all who use a partition share: both sides of it, and whom they may pick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from millstream.core import events as ev
from millstream.core.jobs import JobState
from tests.core.verbs.mill import ADA

from .due import Instant
from .log import says
from .pair import Pair
from .working import Given

BY = says(ev.body_of(ADA))
T = TypeVar("T")


class Stage:
    """`leases` are all that were ever given."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.model = pair.model
        self.world = pair.world
        self.leases: list[Given] = []

    def lease(self, pick: int) -> Given:
        """Mostly a good lease, else any that was ever given."""
        live = self.model.jobs.live
        good = [
            one
            for one in self.leases
            if one.id in live
            and (live[one.id].state, live[one.id].fence) == (JobState.RUNNING, one.fence)
        ]
        return mostly(good, self.leases, pick)

    def lives(self, pick: int) -> str:
        """Mostly a job that lives, else any."""
        return mostly(list(self.model.jobs.live), self.pair.ids, pick)

    def check_next(self, next_due: int, expected: Instant | None) -> None:
        """When a call said to look again."""
        if expected is None:
            assert next_due == 0, f"next due: expected none, got {next_due}"
        else:
            self.pair.check_ms(next_due, expected)


def mostly(likely: Sequence[T], any_: Sequence[T], pick: int) -> T:
    """One by number: of four, three of the likely ones, if there are any."""
    among = likely if likely and pick % 4 else any_
    return among[pick // 4 % len(among)]

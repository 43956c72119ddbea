"""What all who use a partition share: both sides of it, and whom they may pick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from millstream.core.hot import Lease
from millstream.core.jobs import JobState

from .pair import Pair

T = TypeVar("T")


class Stage:
    """`leases` are all that were ever given."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.rooms = pair.rooms
        self.world = pair.world
        self.leases: list[Lease] = []

    def lease(self, pick: int) -> Lease:
        """Mostly a good lease, else any that was ever given."""
        live = self.rooms.jobs.live
        good = [
            one
            for one in self.leases
            if one.id in live
            and (live[one.id].state, live[one.id].fence) == (JobState.RUNNING, one.fence)
        ]
        return mostly(good, self.leases, pick)

    def lives(self, pick: int) -> str:
        """Mostly a job that lives, else any."""
        return mostly(list(self.rooms.jobs.live), self.pair.ids, pick)


def mostly(likely: Sequence[T], any_: Sequence[T], pick: int) -> T:
    """One by number: of four, three of the likely ones, if there are any."""
    among = likely if likely and pick % 4 else any_
    return among[pick // 4 % len(among)]

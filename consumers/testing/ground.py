"""What a sandbox stands on: a log and its time, in memory or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Protocol

from ...core.events import Record
from ...core.memory import Clock, MemoryDirectory, MemoryRenewer, MemorySchedules
from ...core.queue import Directory
from ...core.schedule_index import Schedules


class Ground(Protocol):
    """A log, and a time that can be stepped. Times are ms since 1970."""

    @property
    def directory(self) -> Directory:
        """Its queues."""
        ...

    @property
    def schedules(self) -> Schedules:
        """Its schedules."""
        ...

    @property
    def calendar(self) -> bool:
        """Whether schedules follow when time is stepped."""
        ...

    async def open(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """Give back all it took."""

    def time(self) -> float:
        """What time it is for handlers."""
        ...

    async def step(self, ms: int) -> None:
        """Let time pass."""

    def renew(self, worker: str, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """As `LeaseRenewer.renew`."""
        ...

    async def refresh(self) -> None:
        """Read what `records` tells."""

    def records(self) -> list[Record]:
        """All events of all queues, those of each queue in their order."""
        ...


class InMemory:
    """In this process, gone with it. Time stands still but for `step`."""

    calendar = True

    def __init__(self, start: int) -> None:
        self._clock = Clock(start)
        self.directory = MemoryDirectory(self._clock)
        self.schedules = MemorySchedules(self.directory)

    async def open(self) -> None:
        """There is nothing to begin."""

    async def close(self) -> None:
        """There is nothing to give back."""

    def time(self) -> float:
        """The clock of the log."""
        return self._clock.now

    async def step(self, ms: int) -> None:
        """Let time pass."""
        self._clock.step(ms)

    def renew(self, worker: str, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """As `LeaseRenewer.renew`."""
        return MemoryRenewer(self.directory.queues, worker).renew(partition, leases)

    async def refresh(self) -> None:
        """There is nothing to read: what `records` tells is what is."""

    def records(self) -> list[Record]:
        """All events, by time."""
        logs = (queue.rooms.log for queue in self.directory.queues.values())
        return sorted(chain.from_iterable(logs), key=attrgetter("time"))

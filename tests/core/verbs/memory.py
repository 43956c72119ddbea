"""The same partition in memory. Tests that ask the server itself are skipped."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.audits.history import History
from millstream.core.audits.report import Report
from millstream.core.memory import (
    Clock,
    MemoryDirectory,
    MemoryQueue,
    MemoryRenewer,
    MemorySchedules,
)
from millstream.core.renewing import LeaseRenewer
from millstream.core.schedule_index import Schedules

from .mill import Mill


def _asked(_: Mill) -> Any:
    pytest.skip("asks the server itself")


class MemoryMill(Mill):
    """A mill over `millstream.core.memory`; time goes by as it does, but stands within a call."""

    redis = property(_asked)  # type: ignore[assignment]
    keys = property(_asked)  # type: ignore[assignment]
    url = property(_asked)  # type: ignore[assignment]

    def __init__(self) -> None:
        self._ahead = 0
        self.clock = Clock(time.time_ns() // 1_000_000)
        self.directory = MemoryDirectory(self.clock)
        self.rooms = self.directory.queue(self.partition).rooms
        self.accepted = []
        self.broken = set()

    @property
    def queue(self) -> MemoryQueue:  # type: ignore[override]
        self.clock.now = time.time_ns() // 1_000_000 + self._ahead
        return self.directory.queue(self.partition)

    async def close(self) -> Report:
        """Audit the log; what is beside it the model's test compares."""
        history = History()
        for record in self.rooms.log:
            history.take(record)
        return history.close(self.accepted, drained=False)

    @contextmanager
    def renewer(self, worker: str = "w1") -> Generator[LeaseRenewer]:
        yield MemoryRenewer({self.partition: self.queue}, worker)

    def schedules(self) -> Schedules:
        return MemorySchedules(self.directory)

    async def schedule_comes(self, name: str, at: int) -> None:
        fields = self.rooms.schedules[name]
        fields["next"] = fields["due"] = str(at).encode()
        self.rooms.planned[name] = at

    async def log(self, job: str | None = None) -> list[ev.Record]:
        return [one for one in self.rooms.log if job is None or one.job == job]

    async def bell(self) -> int:
        return int(self.rooms.bell)

    async def mute(self) -> None:
        self.rooms.bell = False

    async def now(self) -> int:
        return self.queue.rooms.now

    async def let_pass(self, ms: int) -> None:
        self._ahead += ms

    async def awaited(self, job: str) -> set[str]:
        return set(self.rooms.links.awaited.get(job, ()))

    async def parents(self, job: str) -> set[str]:
        return set(self.rooms.links.parents.get(job, ()))

    async def dependents(self) -> set[str]:
        return set(self.rooms.links.seen)

    async def lose_joiners(self) -> None:
        self.rooms.links.lose_group()

    async def lose_group(self, priority: int = 5) -> None:
        self.rooms.lose_group(priority)

    async def lose_log(self) -> None:
        pytest.skip("a log in memory is not lost")

    async def consumers(self) -> set[str]:
        pytest.skip("asks the server itself")

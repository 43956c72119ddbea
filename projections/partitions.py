"""Makes the daily partitions of `job_events` and `jobs` before they are needed, or when they are.

Days are whole numbers since 1970-01-01, UTC. A job belongs to the day in its id, which the clock
of whoever submitted it gave; an event to the day of its time, which the log's server gave.
"""

import time
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from .connection import translated

DAY_MS = 86_400_000
AHEAD = 3
"""Days for which partitions are made ahead of time."""


def event_day(time_ms: int) -> int:
    """The day of an event."""
    return time_ms // DAY_MS


def job_day(job: str) -> int:
    """The day of a job: the first 48 bits of its id are ms since 1970."""
    return int(job[:8] + job[9:13], 16) // DAY_MS


def day_name(day: int) -> str:
    """A day as names of partitions hold it: 20270131."""
    return f"{date(1970, 1, 1) + timedelta(days=day):%Y%m%d}"


def number_of_day(name: str) -> int:
    """The inverse of `day_name`."""
    return date.fromisoformat(name).toordinal() - date(1970, 1, 1).toordinal()


def jobs_table(day: int) -> str:
    """The partition of `jobs` that holds a day."""
    return f"jobs_{day_name(day)}"


class Partitions:
    """Which days are known to have partitions; asks the database only about others."""

    def __init__(self) -> None:
        self._events: set[int] = set()
        self._jobs: set[int] = set()

    def forget(self) -> None:
        """Ask again from now on: somebody may have dropped some."""
        self._events.clear()
        self._jobs.clear()

    def missing(self, events: Iterable[int], jobs: Iterable[int]) -> bool:
        """Whether any of these days is not known to have its partition."""
        return not (self._events.issuperset(events) and self._jobs.issuperset(jobs))

    async def ensure(self, connection: Any, events: Iterable[int], jobs: Iterable[int]) -> None:
        """Make what is missing; not inside another transaction, whose locks it would keep."""
        await self._add(connection, "add_events_day", self._events, events)
        await self._add(connection, "add_jobs_day", self._jobs, jobs)

    async def ensure_ahead(self, connection: Any) -> None:
        """Make the partitions of today and the next days."""
        today = event_day(int(time.time() * 1000))
        days = range(today, today + AHEAD + 1)
        await self.ensure(connection, days, days)

    async def _add(self, connection: Any, maker: str, have: set[int], days: Iterable[int]) -> None:
        for day in sorted(set(days) - have):
            with translated():
                await connection.execute(f"SELECT {maker}($1)", day)
            have.add(day)

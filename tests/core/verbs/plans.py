"""Schedules of the partition of a mill, with short words for what tests do to them."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.events import Command
from millstream.core.ids import new_id
from millstream.core.schedule_store import Fired, FiredJob, Firing, State
from millstream.core.schedules import Schedule, job_of

from .mill import ADA, Mill

HOUR = 3_600_000


def hourly(name: str = "s", **given: Any) -> Schedule:
    fields: dict[str, Any] = {"every": 3600, "queue": "default"} | given
    return Schedule(name=name, type="noop", **fields)


class Plans:
    """The schedules of a mill's partition."""

    def __init__(self, mill: Mill) -> None:
        self.mill = mill
        self.all = mill.schedules()
        self.own = self.all.of(mill.partition)
        self._arrivals = 0

    async def put(self, given: Schedule, digest: str = "") -> str:
        old = None if digest else await self.all.find(given.name)
        return (await self.all.put(given, ADA, old=old, digest=digest))[0]

    async def state(self, name: str = "s") -> State:
        found = await self.own.get(name)
        assert found is not None
        return found

    async def make(self, **given: Any) -> State:
        """A schedule whose first occurrence has just come."""
        schedule = hourly(**given)
        assert await self.put(schedule) == "created"
        await self.arrive(schedule.name)
        return await self.state(schedule.name)

    async def arrive(self, name: str = "s", ago: int = 0) -> None:
        """Let its next occurrence be one that came `ago` ms ago, and each time another one."""
        self._arrivals += 1
        at = await self.mill.now() - ago - 1000 + self._arrivals
        await self.mill.schedule_comes(name, at)

    def job(self, state: State, occurrence: int | None = None, cause: str = "due") -> FiredJob:
        at = state.next if occurrence is None else occurrence
        assert at is not None
        spec = job_of(state.schedule(), at, at)
        return FiredJob(new_id(state.partition), at, cause, spec)

    async def fire(self, state: State, *jobs: FiredJob, command: str = "", **how: Any) -> Fired:
        """Fire a schedule once, an hour forward."""
        made = jobs or (self.job(state),)
        following = (state.next or 0) + HOUR
        fields: dict[str, Any] = {"next": following, "due": following} | how
        firing = Firing(state, state.schedule().overlap, made, **fields)
        (fired,) = await self.own.fire([firing], command)
        return fired

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of schedules: name without its prefix, and body."""
        return [
            (record.type.removeprefix("schedule."), msgspec.json.decode(record.body))
            for record in await self.mill.log("")
            if record.type.startswith("schedule.")
        ]

    async def reasons(self) -> list[str]:
        """What became of occurrences: fired by cause, skipped by reason."""
        return [
            body.get("reason", body.get("cause", "due"))
            for kind, body in await self.told()
            if kind in ("fired", "skipped")
        ]


BOB = Command("bob", "why not")

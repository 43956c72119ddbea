"""Schedules of a test, and what workers make of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest

from millstream.consumers import Context, Registry
from millstream.core.events import Command
from millstream.core.log import LogReader
from millstream.core.schedule_index import Schedules
from millstream.core.schedule_store import State
from millstream.core.schedules import Schedule

from .conftest import Bench, until

BY = Command("ada", "test")


class Planner:
    """Makes schedules in the bench's namespace, and reads what became of them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.all = Schedules(bench.redis, bench.keys, bench.directory)

    async def make(self, name: str = "s", **given: Any) -> None:
        fields: dict[str, Any] = {"type": "tick", "queue": "default", "every": 3600} | given
        outcome, _ = await self.all.put(Schedule(name=name, **fields), BY)
        assert outcome == "created"

    async def put_back(self, name: str = "s", seconds: float = 0, queue: str = "default") -> int:
        """Let a schedule stand at an occurrence that long ago, as after a stop."""
        state = await self.state(name)
        every = state.schedule().every
        assert state.next is not None
        assert every is not None
        step = round(every * 1000)
        at = state.next - step * (1 + round(seconds * 1000) // step)
        keys, redis = self.bench.keys, self.bench.redis
        await redis.hset(keys.schedule(queue, name), mapping={"next": at, "due": at})
        await redis.zadd(keys.schedule_due(queue), {name: at})
        return at

    async def state(self, name: str = "s") -> State:
        found = await self.all.find(name)
        assert found is not None
        return found

    async def told(self, kind: str, queue: str = "default") -> list[dict[str, Any]]:
        """Bodies of the events schedule.<kind>, with the time of each."""
        reader = LogReader(self.bench.redis, self.bench.keys)
        return [
            {**msgspec.json.decode(record.body), "time": record.time}
            for record in await reader.range(queue, count=100_000)
            if record.type == f"schedule.{kind}"
        ]

    async def until_told(
        self, kind: str, count: int = 1, seconds: float = 60
    ) -> list[dict[str, Any]]:
        async def enough() -> bool:
            return len(await self.told(kind)) >= count

        await until(enough, seconds)
        return await self.told(kind)


@pytest.fixture
def planner(bench: Bench) -> Planner:
    return Planner(bench)


@pytest.fixture
def ticks(registry: Registry) -> list[tuple[str | None, datetime | None]]:
    """What a handler of type `tick` saw."""
    seen: list[tuple[str | None, datetime | None]] = []

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        seen.append((ctx.schedule, ctx.occurrence))

    return seen


Ticks = list[tuple[str | None, datetime | None]]

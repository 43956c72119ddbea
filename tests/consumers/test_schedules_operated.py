"""Operators do anything to schedules, in any order, while several workers fire them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from millstream.consumers import Context, Registry
from millstream.core.ids import new_id
from millstream.core.schedule_store import FiredJob, Firing, State
from millstream.core.schedules import job_of
from tests.invariants import check

from .conftest import Bench, until
from .planner import BY, Planner, planner

__all__ = ["planner"]


class Operator:
    """Does to schedules whatever can be done, in any order."""

    def __init__(self, planner: Planner, chance: random.Random) -> None:
        self.planner = planner
        self.own = planner.all.of("default")
        self.chance = chance

    async def act(self) -> None:
        name = self.chance.choice(["a", "b", "c"])
        state = await self.own.get(name)
        if state is None:
            policy = self.chance.choice(["allow", "skip", "buffer_one", "cancel_running"])
            await self.planner.make(name, every=1, overlap=policy)
            return
        match self.chance.randrange(7):
            case 0:
                await self.own.pause(name, BY)
            case 1 | 2:
                await self.own.resume(state, BY, await self.planner.all.now())
            case 3:
                await self.own.delete(name, BY)
                await self.planner.all.forget(name, "default")
            case 4:
                policy = self.chance.choice(["skip", "buffer_one", "cancel_running"])
                changed = msgspec.structs.replace(state.schedule(), overlap=policy)
                await self.planner.all.put(changed, BY, old=state)
            case _:
                await self.fire(state)

    async def fire(self, state: State) -> None:
        now = await self.planner.all.now()
        wanted = [
            FiredJob(new_id("default"), at, cause, job_of(state.schedule(), at, now))
            for at, cause in ((now, "manual"), (now - 1, "backfill"))
        ]
        await self.own.fire([Firing(state, "allow", wanted, moves=False, by=BY)], f"c{now}")


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_done_each_occurrence_is_handled_once(
    bench: Bench, planner: Planner, registry: Registry, seed: int
) -> None:
    chance = random.Random(seed)

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        await asyncio.sleep(chance.choice([0, 0.1, 1.5]))

    async def steady() -> list[int]:
        fired = await planner.told("fired")
        return [one["occurrence"] for one in fired if one["schedule"] == "steady"]

    async def often_enough() -> bool:
        return len(await steady()) >= 4

    await planner.make("steady", every=1, catchup_limit=100)
    workers = [await bench.worker(registry, lease=3.0, sweep=0.3) for _ in range(3)]
    operator = Operator(planner, chance)
    ends = asyncio.get_running_loop().time() + 5
    while asyncio.get_running_loop().time() < ends:
        await operator.act()
        await asyncio.sleep(chance.uniform(0, 0.1))
    await until(often_enough)
    for worker in workers:
        await worker.drain(5)
    (await check(bench.url, ["default"])).require()
    seen = await steady()
    assert seen == list(range(seen[0], seen[-1] + 1, 1000))

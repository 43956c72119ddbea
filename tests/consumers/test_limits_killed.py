"""Limits while workers are killed at any step: none is ever exceeded, and no room leaks."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from millstream.core import events as ev
from millstream.core.log import LogReader
from millstream.core.upcast import decode
from tests.invariants import check

from .conftest import until
from .processes import Workers
from .test_process import workers

__all__ = ["workers"]

KEYS = ("a", "b", "c")
KILLED, DIED = 8, 3
"""How many workers are killed at least, and how many jobs lose theirs."""

WAITING = 60
"""How many jobs wait at most, so that there are always some, and all end soon after."""

STARTS = 40
"""The limit on starts in a second."""

QUICK: dict[str, Any] = {"lease": 1.1, "command_timeout": 0.5, "max_crashes": 99}


def most_at_once(records: Iterable[ev.Record], group_of: Callable[[str], str]) -> dict[str, int]:
    """The most jobs that ever ran at once, by group, as the log tells it."""
    running: dict[str, set[str]] = defaultdict(set)
    most: dict[str, int] = defaultdict(int)
    for record in records:
        if not record.job:
            continue
        group = running[group_of(record.job)]
        if record.type == "job.started":
            group.add(record.job)
        elif record.type != "job.cancel_requested":
            group.discard(record.job)
        most[group_of(record.job)] = max(most[group_of(record.job)], len(group))
    return most


async def test_workers_killed_at_any_step_exceed_no_limit_and_leak_no_room(
    workers: Workers,
) -> None:
    bench = workers.bench
    bounds = {"ck": "1", "c:proc.brief": "2", "r:proc.brief": f"{10**6 // STARTS} 1 {{}}"}
    await bench.queue.configure(ev.QueueConfigured("ada"), bounds)
    keys: dict[str, str] = {}
    for _ in range(2):
        await workers.start(**QUICK)
    killed = 0

    async def kill_some() -> None:
        nonlocal killed
        while True:
            await asyncio.sleep(random.uniform(0.02, 0.2))
            random.choice([one for one in workers.processes if one.poll() is None]).kill()
            killed += 1
            await workers.start(**QUICK)

    async def told(kind: str) -> int:
        records = await LogReader(bench.redis, bench.keys).range("default", count=100_000)
        return sum(record.type == f"job.{kind}" for record in records)

    killing = asyncio.create_task(kill_some())
    async with asyncio.timeout(240):
        while killed < KILLED or await told("lease_expired") < DIED:
            if killing.done():
                await killing  # which failed: say so
            if len(keys) - await told("succeeded") < WAITING:  # however slowly they run
                for _ in range(10):
                    key = random.choice(KEYS)
                    keys[await workers.submit("proc.brief", concurrency_key=key)] = key
            await asyncio.sleep(0.2)
    killing.cancel()

    async def all_done() -> bool:
        return await told("succeeded") == len(keys)

    await until(all_done, 120)
    (await check(bench.url, ["default"], acknowledged=keys, drained=True)).require()
    records = await LogReader(bench.redis, bench.keys).range("default", count=100_000)
    assert set(most_at_once(records, keys.__getitem__).values()) == {1}
    assert most_at_once(records, lambda _: "all")["all"] <= 2
    starts = [record.time for record in records if isinstance(decode(record), ev.JobStarted)]
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert min(gaps) >= 1000 // STARTS - 1, "no rate is exceeded, whoever dies"

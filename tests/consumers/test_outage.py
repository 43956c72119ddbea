"""Redis away for a while: what runs goes on, and runs once."""

from __future__ import annotations

import asyncio

from millstream.consumers import Context, Registry
from millstream.consumers.worker import FLUSH
from millstream.core.embedded import Valkey

from .conftest import Bench, until

LEASE = 2.5


async def test_jobs_that_run_through_an_outage_are_not_taken_back(
    bench: Bench, registry: Registry, valkey_server: Valkey
) -> None:
    begun: list[str] = []
    over = asyncio.Event()

    @registry.job("long")
    async def long(ctx: Context, payload: None) -> None:
        begun.append(ctx.job_id)
        await over.wait()

    for _ in range(3):  # whichever of them comes back first
        await bench.worker(registry, lease=LEASE)
    jobs = await bench.submit_many("long", [None] * 6)
    await until(lambda: len(begun) == 6)
    before = await _swept(bench)
    await asyncio.to_thread(valkey_server.stop)
    await asyncio.sleep(LEASE + 1)
    await asyncio.to_thread(valkey_server.start)
    await until(lambda: _swept_since(bench, before + 1))
    back = await _swept(bench)
    await until(lambda: _swept_since(bench, back + round(LEASE * 1000)), seconds=30)
    over.set()
    for job in jobs:
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    assert sorted(begun) == sorted(jobs)


async def _swept(bench: Bench) -> int:
    return int(await bench.redis.hget(bench.keys.meta("default"), "swept") or 0)


async def _swept_since(bench: Bench, at: int) -> bool:
    return await _swept(bench) >= at


async def test_a_drain_has_its_grace_for_the_last_verdicts(
    bench: Bench, registry: Registry, valkey_server: Valkey
) -> None:
    over = asyncio.Event()

    @registry.job("long")
    async def long(ctx: Context, payload: None) -> None:
        await over.wait()

    worker = await bench.worker(registry)
    job = await bench.submit("long")
    await until(lambda: worker.slots.taken == 1)
    await asyncio.to_thread(valkey_server.stop)
    over.set()
    await until(lambda: worker.stats.verdicts["succeeded"] == 1)
    draining = asyncio.create_task(worker.drain(grace=60))
    await asyncio.sleep(2 * FLUSH)
    await asyncio.to_thread(valkey_server.start)
    await draining
    assert await bench.types(job) == ["submitted", "started", "succeeded"]

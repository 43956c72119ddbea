"""A worker over several queues: shares by weight, and queues that are paused or halted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from millstream.consumers import Context, Registry
from millstream.core.events import Command

from .conftest import Bench, until

BY = Command("ada", "test")


async def test_queues_share_a_worker_by_weight(bench: Bench, registry: Registry) -> None:
    order: list[str] = []

    @registry.job("t")
    async def handle(ctx: Context, payload: Any) -> None:
        order.append(ctx.queue)

    for queue in ("heavy", "light", "other"):
        await bench.submit_many("t", [None] * 800, queue=queue)
    await bench.worker(registry, queues=("heavy:6", "light", "other"))
    await until(lambda: len(order) >= 800)
    given = Counter(order[:800])
    assert 560 <= given["heavy"] <= 640
    assert 60 <= given["light"] <= 140
    assert 60 <= given["other"] <= 140


async def test_a_worker_leaves_a_paused_queue_alone_until_it_is_resumed(
    bench: Bench, registry: Registry
) -> None:
    ran = asyncio.Event()

    @registry.job("t")
    async def handle(ctx: Context, payload: Any) -> None:
        ran.set()

    await bench.directory.register("default")
    await bench.queue.set_mode("paused", BY)
    # Only the bell can tell it in time: no sweep comes while this test runs.
    worker = await bench.worker(registry, sweep=3600.0)
    job = await bench.submit("t")
    await bench.submit_many("t", [None] * 20, delay_ms=20)
    await until(lambda: worker.stats.claims >= 2)

    async def at_rest() -> bool:
        claims = worker.stats.claims
        await asyncio.sleep(0.3)
        return worker.stats.claims == claims

    await until(at_rest, 30)  # else it asks a paused queue again and again
    assert not ran.is_set()
    await bench.queue.set_mode("open", BY)
    await bench.ended(job)


async def test_a_job_that_runs_when_its_queue_is_paused_finishes(
    bench: Bench, registry: Registry
) -> None:
    running, go = asyncio.Event(), asyncio.Event()

    @registry.job("t")
    async def handle(ctx: Context, payload: Any) -> None:
        running.set()
        await go.wait()

    await bench.worker(registry, lease=3.0)
    job = await bench.submit("t")
    async with asyncio.timeout(60):
        await running.wait()
    await bench.queue.set_mode("paused", BY)
    go.set()
    assert await bench.ended(job) == ["submitted", "started", "succeeded"]


async def test_a_rescheduled_job_runs_at_its_new_time(bench: Bench, registry: Registry) -> None:
    @registry.job("t")
    async def handle(ctx: Context, payload: Any) -> None: ...

    await bench.worker(registry, sweep=3600.0)
    job = await bench.submit("t", delay_ms=3_600_000)
    await until(lambda: _types(bench, job, ["submitted"]))
    assert await bench.queue.reschedule([job], "+100", BY) == ["rescheduled"]
    assert await bench.ended(job) == [
        "submitted", "rescheduled", "queued", "started", "succeeded",
    ]  # fmt: skip
    told = {one.type: one.time for one in await bench.history(job)}
    assert told["job.started"] - told["job.rescheduled"] >= 100


async def _types(bench: Bench, job: str, expected: list[str]) -> bool:
    return await bench.types(job) == expected


async def test_a_halted_queue_keeps_no_worker_from_the_others(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("t")
    async def t(ctx: Context, payload: None) -> None: ...

    job = await bench.submit("t", queue="good")
    await bench.submit("t", queue="bad")
    await bench.directory.queue("bad").condemn("a test")
    await bench.worker(registry, queues=("bad", "good"))
    assert await bench.ended(job, queue="good") == ["submitted", "started", "succeeded"]
    await bench.redis.hset(bench.keys.meta("bad"), "mode", "")  # as a restore ends
    waits = await bench.submit("t", queue="bad")
    assert await bench.ended(waits, queue="bad") == ["submitted", "started", "succeeded"]

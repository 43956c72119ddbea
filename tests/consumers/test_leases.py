"""Leases: kept while handlers run, however they run; lost ones end the attempt unheard."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from millstream.consumers import Context, Registry
from millstream.consumers.maintenance import Maintenance
from millstream.core.joining import Joiner

from .conftest import Bench, until


@contextmanager
def sweeping(url: str, lease: float) -> Generator[None]:
    """Another worker's sweeps, on a loop of their own."""
    stop = threading.Event()

    async def sweep() -> None:
        other = Bench(url)
        maintenance = Maintenance(Joiner(other.directory), sweep=0.1, lease=lease, max_crashes=3)
        while not stop.is_set():
            await maintenance.sweep(other.queue)
            await asyncio.sleep(0.05)
        await other.close()

    reaper = threading.Thread(target=lambda: asyncio.run(sweep()))
    reaper.start()
    try:
        yield
    finally:
        stop.set()
        reaper.join()


async def test_a_handler_that_blocks_the_loop_keeps_its_lease(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("block")
    async def block(ctx: Context, payload: None) -> None:
        time.sleep(4.5)  # noqa: ASYNC251 (that is what is tested)

    job = await bench.submit("block")
    with sweeping(bench.url, lease=3.0):
        await bench.worker(registry, lease=3.0)
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]


@pytest.mark.parametrize("command_timeout", [0.5, 30.0], ids=["fetched again", "read late"])
async def test_nor_does_a_job_on_its_way_to_it(
    bench: Bench, registry: Registry, command_timeout: float
) -> None:
    """The reply that gives the second job comes while the first one blocks the loop."""
    ran: list[int] = []

    @registry.job("block")
    async def block(ctx: Context, payload: int) -> None:
        ran.append(payload)
        if payload == 0:
            time.sleep(5)  # noqa: ASYNC251 (that is what is tested)

    jobs = await bench.submit_many("block", [0, 1])
    with sweeping(bench.url, lease=3.0):
        await bench.worker(registry, lease=3.0, concurrency=2, command_timeout=command_timeout)
        for job in jobs:
            assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    assert ran == [0, 1]
    first, second = [(await bench.history(job))[1:] for job in jobs]
    assert second[0].time < first[1].time - 2000, "it was given long before the first one ended"


async def test_a_lost_lease_ends_the_attempt_and_its_verdict_is_dropped(
    bench: Bench, registry: Registry
) -> None:
    fences: list[int] = []
    interrupted = asyncio.Event()

    @registry.job("long")
    async def long(ctx: Context, payload: None) -> str:
        fences.append(ctx.fence)
        if len(fences) == 1:
            try:
                await asyncio.sleep(60)
            finally:
                interrupted.set()
        return "second"

    worker = await bench.worker(registry)
    job = await bench.submit("long")
    await until(lambda: len(fences) == 1)
    # A reaper with another idea of time: any pending entry is expired.
    await until(lambda: _reaped(bench))
    async with asyncio.timeout(60):
        await interrupted.wait()
    assert await bench.ended(job) == [
        "submitted", "started", "lease_expired", "started", "succeeded",
    ]  # fmt: skip
    assert (await bench.last(job))["result"]["data"] == "second"
    assert fences[1] > fences[0]
    assert worker.stats.lost == 1
    assert worker.stats.refused == 0


async def test_queues_that_were_halted_cost_the_others_no_lease(
    bench: Bench, registry: Registry
) -> None:
    queues = [f"q{n}" for n in range(8)]
    begun: list[str] = []
    go = asyncio.Event()

    @registry.job("long")
    async def long(ctx: Context, payload: None) -> None:
        begun.append(ctx.job_id)
        await go.wait()

    await bench.worker(registry, queues=tuple(queues))
    jobs = {queue: await bench.submit("long", queue=queue) for queue in queues}
    await until(lambda: len(begun) == len(queues))
    for queue in queues[:4]:
        await bench.directory.queue(queue).condemn("a test")
    for _ in range(2):
        since = time.monotonic()
        for queue in queues[4:]:
            await until(lambda queue=queue, since=since: _renewed(bench, queue, since))
    go.set()
    for queue in queues[4:]:
        assert await bench.ended(jobs[queue], queue=queue) == ["submitted", "started", "succeeded"]


async def _renewed(bench: Bench, queue: str, since: float) -> bool:
    """Whether the lease of the queue's only job was renewed after `since` (time.monotonic)."""
    key = bench.keys.ready(queue, 5)
    before = time.monotonic()
    [pending] = await bench.redis.xpending_range(key, "workers", "-", "+", 9)
    return int(pending["time_since_delivered"]) / 1000 < before - since


async def _reaped(bench: Bench) -> bool:
    return (await bench.queue.reap(0, 3))[0] > 0


async def test_a_thread_sees_that_it_is_to_stop(bench: Bench, registry: Registry) -> None:
    from millstream.core.events import Command

    began = threading.Event()

    @registry.job("polite")
    def polite(ctx: Context, payload: None) -> str:
        began.set()
        ends = time.monotonic() + 60
        while not ctx.cancelled and time.monotonic() < ends:
            time.sleep(0.005)
        return "stopped"

    await bench.worker(registry)
    job = await bench.submit("polite")
    assert await asyncio.to_thread(began.wait, 60)
    await bench.queue.cancel([job], Command())
    assert (await bench.ended(job, 30))[-1] == "cancelled"


async def test_a_job_that_crashes_its_workers_ends_as_poison(
    bench: Bench, registry: Registry
) -> None:
    crashes: list[int] = []

    @registry.job("poison")
    async def poison(ctx: Context, payload: None) -> None:
        crashes.append(ctx.crashes)
        await asyncio.sleep(60)

    await bench.worker(registry, sweep=0.1)
    job = await bench.submit("poison")
    for crash in range(3):
        await until(lambda crash=crash: len(crashes) == crash + 1)
        await until(lambda: _reaped(bench))
    assert (await bench.ended(job))[-2:] == ["lease_expired", "failed"]
    assert (await bench.last(job))["reason"] == "poison"
    assert crashes == [0, 1, 2]

"""Leases: kept while handlers run, however they run; lost ones end the attempt unheard."""

from __future__ import annotations

import asyncio
import threading
import time

from millstream.consumers import Context, Registry
from millstream.consumers.maintenance import Maintenance
from millstream.core.joining import Joiner

from .conftest import Bench, until


async def test_a_handler_that_blocks_the_loop_keeps_its_lease(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("block")
    async def block(ctx: Context, payload: None) -> None:
        time.sleep(4.5)  # noqa: ASYNC251 (that is what is tested)

    stop = threading.Event()

    def reap_from_outside() -> None:
        """Another worker's sweeps, from a loop of their own."""

        async def sweep() -> None:
            other = Bench(bench.url)
            joiner = Joiner(other.directory)
            maintenance = Maintenance(joiner, sweep=0.1, lease=3.0, max_crashes=3)
            while not stop.is_set():
                await maintenance.sweep(other.queue)
                await asyncio.sleep(0.05)
            await other.close()

        asyncio.run(sweep())

    reaper = threading.Thread(target=reap_from_outside)
    await bench.worker(registry, lease=3.0)
    job = await bench.submit("block")
    reaper.start()
    try:
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    finally:
        stop.set()
        reaper.join()


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

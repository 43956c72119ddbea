"""What a worker says of itself while it works, drains, hangs and dies."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from millstream.consumers import Context, Registry
from millstream.consumers import reporting as module
from millstream.core.queue import PartitionQueue
from millstream.core.shapes import digest_of, document_of
from millstream.core.workers import Seen, Workers

from .conftest import Bench, until


async def seen(bench: Bench) -> list[Seen]:
    return await Workers(bench.redis, bench.keys).all()


async def test_a_worker_tells_what_it_serves_and_runs(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_EVERY", 0.1)
    go = asyncio.Event()

    @registry.job("waits", queue="slow")
    async def waits(ctx: Context, payload: None) -> None:
        await go.wait()

    worker = await bench.worker(registry, code_version="v7")
    job = await bench.submit("waits", queue="slow")

    async def runs() -> bool:
        found = await seen(bench)
        return bool(found) and found[0].report.jobs == [job]

    await until(runs)
    (one,) = await seen(bench)
    assert one.condition == "serving"
    told = one.report
    assert (told.name, told.pid, told.version) == (worker.name, os.getpid(), "v7")
    assert (told.queues, told.types) == (["default", "slow"], ["waits"])
    assert (told.running, told.concurrency) == (1, 8)
    assert told.memory > 10 * 2**20
    go.set()
    await worker.drain()
    assert await seen(bench) == [], "it left in good order"


async def test_it_says_what_it_takes_before_it_comes_to_a_queue(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on clients may submit what only this worker takes."""

    @registry.job("count")
    async def count(ctx: Context, payload: int) -> None: ...

    known: list[dict[str, bytes]] = []
    announce = PartitionQueue.announce

    async def told(queue: PartitionQueue, *given: Any) -> None:
        workers = Workers(bench.redis, bench.keys)
        known.append(await workers.takes([one.report.takes for one in await workers.all()]))
        await announce(queue, *given)

    monkeypatch.setattr(PartitionQueue, "announce", told)
    await bench.worker(registry)
    document = document_of({"count": int})
    assert known == [{digest_of(document): document}]


async def test_a_worker_that_drains_says_so(bench: Bench, registry: Registry) -> None:
    go = asyncio.Event()

    @registry.job("waits")
    async def waits(ctx: Context, payload: None) -> None:
        await go.wait()

    worker = await bench.worker(registry)
    await bench.submit("waits")
    await until(lambda: worker.slots.taken == 1)
    draining = asyncio.create_task(worker.drain(5))

    async def told() -> bool:
        return [one.condition for one in await seen(bench)] == ["draining"]

    await until(told)
    go.set()
    await draining


async def test_one_that_died_leaves_its_report_behind(bench: Bench, registry: Registry) -> None:
    worker = await bench.worker(registry)
    await until(lambda: _reported(bench))
    await worker.close()
    (one,) = await seen(bench)
    assert one.report.name == worker.name


async def test_a_handler_that_blocks_the_loop_is_told_as_lag(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_EVERY", 0.5)

    @registry.job("block")
    async def block(ctx: Context, payload: None) -> None:
        time.sleep(1.2)  # noqa: ASYNC251 (that is what is tested)

    await bench.worker(registry)
    await bench.submit("block")

    async def told() -> bool:
        return any(one.report.loop_lag >= 0.9 for one in await seen(bench))

    await until(told)


async def _reported(bench: Bench) -> bool:
    return bool(await seen(bench))

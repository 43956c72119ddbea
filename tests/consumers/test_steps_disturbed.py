"""Durable steps while leases are lost, workers end and Redis is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from millstream.consumers import Context, LeaseLost, Registry
from millstream.core.embedded import Valkey
from millstream.core.events import Command
from millstream.core.queue import PartitionQueue
from millstream.core.stepping import Kept

from .conftest import Bench, Calls, until
from .stepping import SOON, sound, steps_of


async def test_an_overtaken_worker_keeps_nothing_and_is_interrupted(
    bench: Bench, registry: Registry
) -> None:
    go, told = asyncio.Event(), list[str]()

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        if not told:
            told.append("begun")
            await go.wait()
            try:
                await ctx.step("a", told.append, "stale")
            except BaseException as error:
                told.append(type(error).__name__)
                try:
                    await ctx.step("b", told.append, "must not run")
                except LeaseLost:
                    told.append("over")
                raise
        return await ctx.step("a", lambda: "mine")

    first = await bench.worker(registry, lease=30.0, sweep=60.0)
    job = await bench.submit("order")
    await until(lambda: bool(told))
    await bench.queue.reap(0, 9)  # as if its lease had expired
    await bench.worker(registry)
    assert (await bench.ended(job))[-1] == "succeeded"
    go.set()
    await until(lambda: len(told) >= 4)
    assert told[:2] == ["begun", "stale"]
    assert told[2] in ("LeaseLost", "CancelledError")
    assert told[3] == "over"
    assert await steps_of(bench, job) == ["a"]
    await until(lambda: not first.slots.held)
    assert first.stats.lost == 1
    await sound(bench)


async def test_an_overtaken_worker_does_nothing_again_of_a_job_that_ended(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    runs = list[int]()
    go, refused = asyncio.Event(), asyncio.Event()

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        runs.append(ctx.fence)
        if len(runs) == 2:
            await go.wait()  # it is frozen before its first step
        try:
            await ctx.step("charge", calls.once, "charge")
        except (LeaseLost, asyncio.CancelledError):
            refused.set()
            raise
        if len(runs) == 1:
            raise ConnectionError("not yet")

    first = await bench.worker(registry, lease=30.0, sweep=60.0)
    job = await bench.submit("order")
    await until(lambda: len(runs) == 2)
    await bench.queue.reap(0, 9)
    await bench.worker(registry)
    assert (await bench.ended(job))[-1] == "succeeded"
    assert await bench.queue.steps(job) == frozenset()  # they went with the job
    go.set()
    await refused.wait()
    await until(lambda: not first.slots.held)
    assert calls.made == ["charge"]
    await sound(bench)


async def test_a_cancellation_is_heard_with_the_next_step(bench: Bench, registry: Registry) -> None:
    go, ran = asyncio.Event(), list[str]()

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        ran.append("begun")
        await go.wait()
        await ctx.step("a", ran.append, "a")
        await asyncio.sleep(30)

    worker = await bench.worker(registry)
    worker._keeper.stop()  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    job = await bench.submit("order")
    await until(lambda: bool(ran))
    await bench.queue.cancel([job], Command("ada"))
    go.set()
    assert (await bench.ended(job))[-2:] == ["checkpointed", "cancelled"]
    await sound(bench)


async def test_a_drain_keeps_what_was_just_done(bench: Bench, registry: Registry) -> None:
    begun, ran = asyncio.Event(), list[str]()

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        await ctx.step("a", ran.append, "a")
        begun.set()
        if len(ran) == 1:
            await asyncio.sleep(30)
        return await ctx.step("b", lambda: "done")

    first = await bench.worker(registry)
    job = await bench.submit("order", max_attempts=1)
    await begun.wait()
    ran.append("again")
    await first.drain(0)
    await bench.worker(registry)
    assert await bench.ended(job) == [
        "submitted", "started", "checkpointed", "released", "started", "checkpointed", "succeeded",
    ]  # fmt: skip
    assert ran == ["a", "again"]
    await sound(bench)


async def test_steps_wait_for_a_server_that_is_gone(
    bench: Bench, registry: Registry, valkey_server: Valkey
) -> None:
    go, begun = asyncio.Event(), asyncio.Event()

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> int:
        begun.set()
        await go.wait()
        return await ctx.step("a", lambda: 7)

    await bench.worker(registry, lease=30.0)
    job = await bench.submit("order")
    await begun.wait()
    await asyncio.sleep(1.1)  # the claim is on disk by then
    await asyncio.to_thread(valkey_server.stop)
    go.set()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(valkey_server.start)
    await until(lambda: reached(bench))
    assert (await bench.ended(job))[-2:] == ["checkpointed", "succeeded"]


async def test_a_step_whose_answer_was_not_awaited_is_tried_again_and_not_done_again(
    bench: Bench, registry: Registry, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, held = PartitionQueue.checkpoint, asyncio.Event()

    async def late(self: PartitionQueue, steps: Any) -> list[Kept]:
        await held.wait()
        return await checkpoint(self, steps)

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> list[int]:
        try:
            async with asyncio.timeout(0.05):
                await ctx.step("a", calls.once, "a", 1)
        except TimeoutError:
            held.set()
        return [await ctx.step("a", calls.once, "again", 2), await ctx.step("b", lambda: 3)]

    monkeypatch.setattr(PartitionQueue, "checkpoint", late)
    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "succeeded"
    assert (await bench.last(job))["result"]["data"] == [1, 3]
    assert (calls.made, await steps_of(bench, job)) == (["a"], ["a", "b"])


async def test_a_worker_that_closes_refuses_what_it_cannot_keep(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, told = asyncio.Event(), list[str]()

    async def never(self: PartitionQueue, steps: Any) -> list[Kept]:
        sent.set()
        await asyncio.sleep(60)
        raise AssertionError

    @registry.job("order")
    def order(ctx: Context, payload: None) -> None:
        try:
            ctx.sync.step("a", int)
        except LeaseLost:
            told.append("refused")

    monkeypatch.setattr(PartitionQueue, "checkpoint", never)
    worker = await bench.worker(registry)
    job = await bench.submit("order")
    await sent.wait()
    await worker.close()
    await until(lambda: told == ["refused"])
    assert await bench.types(job) == ["submitted", "started"]


async def test_what_the_server_chokes_on_is_kept_from_the_others(
    bench: Bench, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, refused = PartitionQueue.checkpoint, list[int]()

    async def choosy(self: PartitionQueue, steps: Any) -> list[Kept]:
        if any(step.step == "bad" for step in steps):
            refused.append(len(steps))
            raise ResponseError("no")
        return await checkpoint(self, steps)

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> list[str]:
        steps = (ctx.step(name, str) for name in ("first", "bad", "good"))
        found = await asyncio.gather(*steps, return_exceptions=True)
        return [type(one).__name__ for one in found]

    monkeypatch.setattr(PartitionQueue, "checkpoint", choosy)
    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "succeeded"
    assert (await bench.last(job))["result"]["data"] == ["str", "ResponseError", "str"]
    assert refused[-1] == 1


async def reached(bench: Bench) -> bool:
    try:
        await bench.queue.inspect()
    except Exception:
        return False
    return True

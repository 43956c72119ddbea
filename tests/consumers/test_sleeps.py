"""Sleeps of a handler: they hold no worker, cost no attempt, and end when they should."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from millstream.consumers import Context, Registry, Retry
from millstream.core.events import Command

from .conftest import Bench, Calls, until
from .stepping import sound, steps_of


async def test_a_sleep_holds_no_worker_and_costs_no_attempt(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> int:
        await ctx.step("before", calls.once, "before")
        await ctx.sleep(0.3)
        await ctx.step("after", calls.once, "after")
        await ctx.sleep(minutes=0.001, name="short")
        return ctx.attempt

    worker = await bench.worker(registry)
    job = await bench.submit("order", max_attempts=1)

    async def asleep() -> bool:
        return "snoozed" in await bench.types(job)

    await until(asleep)
    await until(lambda: not worker.slots.held)
    assert await bench.ended(job) == [
        "submitted", "started", "checkpointed", "checkpointed", "snoozed", "queued", "started",
        "checkpointed", "checkpointed", "snoozed", "queued", "started", "succeeded",
    ]  # fmt: skip
    assert calls.made == ["before", "after"]
    assert await steps_of(bench, job) == ["before", "sleep-1", "after", "short"]
    history = await bench.history(job)
    wake_at = msgspec.json.decode(history[3].body)["wake_at"]
    assert history[1].time + 300 <= wake_at <= history[3].time + 301  # the clocks count whole ms
    assert history[6].time >= wake_at
    assert (await bench.last(job))["result"]["data"] == 1
    await sound(bench)


async def test_a_sleep_outlives_its_worker(bench: Bench, registry: Registry, calls: Calls) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.step("before", calls.once, "before")
        await ctx.sleep(seconds=1.5)

    first = await bench.worker(registry)
    job = await bench.submit("order")

    async def asleep() -> bool:
        return "snoozed" in await bench.types(job)

    await until(asleep)
    await first.drain()
    await bench.worker(registry)
    assert (await bench.ended(job))[-4:] == ["snoozed", "queued", "started", "succeeded"]
    assert calls.made == ["before"]
    await sound(bench)


async def test_one_that_is_woken_early_sleeps_for_the_rest(
    bench: Bench, registry: Registry
) -> None:
    at: list[datetime] = []

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        at.append(datetime.now(UTC) + timedelta(seconds=3))
        await ctx.sleep(until=at[0])

    await bench.worker(registry)
    job = await bench.submit("order")

    async def asleep() -> bool:
        return "snoozed" in await bench.types(job)

    await until(asleep)
    assert await bench.queue.reschedule([job], "+0", Command("ada")) == ["queued"]
    types = await bench.ended(job)
    assert types.count("snoozed") == 2
    assert types.count("checkpointed") == 1
    started = [one.time for one in await bench.history(job) if one.type == "job.started"]
    assert len(started) == 3
    assert started[2] / 1000 >= at[0].timestamp() - 0.005


async def test_a_length_may_be_a_timedelta(bench: Bench, registry: Registry) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        await ctx.sleep(timedelta(milliseconds=50))
        return "done"

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "succeeded"
    assert await steps_of(bench, job) == ["sleep-1"]


async def test_a_time_that_is_past_is_no_sleep(bench: Bench, registry: Registry) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.sleep(0)
        await ctx.sleep(until=datetime(2020, 1, 1, tzinfo=UTC))

    await bench.worker(registry)
    job = await bench.submit("order")
    assert await bench.ended(job) == ["submitted", "started", "succeeded"]


@pytest.mark.parametrize("how", ["swallowed", "group", "gather", "raised over"])
async def test_a_sleep_happens_whatever_the_handler_makes_of_it(
    bench: Bench, registry: Registry, how: str
) -> None:
    ran: list[str] = []

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        ran.append("run")
        if how == "gather":
            await asyncio.gather(ctx.sleep(0.1), return_exceptions=True)
        elif how == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(wrapped(ctx))
        else:
            try:
                await ctx.sleep(0.1)
            except BaseException as error:
                if how == "raised over":
                    raise Retry("no") from error
        await ctx.step("after", ran.append, "after")
        return "done"

    async def wrapped(ctx: Context) -> None:
        await ctx.sleep(0.1)

    await bench.worker(registry)
    job = await bench.submit("order", max_attempts=1)
    assert (await bench.ended(job))[-6:] == [
        "checkpointed", "snoozed", "queued", "started", "checkpointed", "succeeded",
    ]  # fmt: skip
    assert ran == ["run", "run", "after"]
    await sound(bench)


async def test_an_exception_handler_lets_a_sleep_through(bench: Bench, registry: Registry) -> None:
    caught: list[Exception] = []

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        try:
            await ctx.sleep(0.05)
        except Exception as error:
            caught.append(error)

    await bench.worker(registry)
    assert (await bench.ended(await bench.submit("order")))[-1] == "succeeded"
    assert caught == []


async def test_a_sleeping_job_can_be_cancelled(bench: Bench, registry: Registry) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.sleep(hours=6)

    await bench.worker(registry)
    job = await bench.submit("order")

    async def asleep() -> bool:
        return "snoozed" in await bench.types(job)

    await until(asleep)
    assert 21_600_000 - 60_000 < (await bench.last(job))["delay_ms"] <= 21_600_002
    await bench.queue.cancel([job], Command("ada"))
    await sound(bench)
    assert [key async for key in bench.redis.scan_iter(match="*:steps:*")] == []

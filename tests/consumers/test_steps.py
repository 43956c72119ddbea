"""Durable steps in a worker, on a real server: what is done once is not done again."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec

from millstream.consumers import Context, Fail, Registry

from .conftest import Bench, Calls
from .stepping import SOON, fault_of, sound, steps_of


class Receipt(msgspec.Struct, frozen=True):
    number: int
    at: datetime


async def test_a_retry_does_not_do_again_what_was_done(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> list[Any]:
        first = await ctx.step("charge", calls.once, "charge", {"receipt": 7})
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return [first, await ctx.step("pack", calls.once, "pack", [1])]

    await bench.worker(registry)
    job = await bench.submit("order")
    assert await bench.ended(job) == [
        "submitted", "started", "checkpointed", "attempt_failed", "queued", "started",
        "checkpointed", "succeeded",
    ]  # fmt: skip
    assert (await bench.last(job))["result"]["data"] == [{"receipt": 7}, [1]]
    assert calls.made == ["charge", "pack"]
    await sound(bench)


async def test_a_result_is_the_same_in_the_first_attempt_and_later(
    bench: Bench, registry: Registry
) -> None:
    got: list[Any] = []
    when = datetime(2026, 5, 4, 1, tzinfo=UTC)

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        made = Receipt(7, when)
        got.append(await ctx.step("typed", lambda: made, returns=Receipt))
        got.append(await ctx.step("plain", lambda: (made, {1: "one"})))
        if ctx.attempt == 1:
            raise ConnectionError("not yet")

    await bench.worker(registry)
    await bench.ended(await bench.submit("order"))
    assert got[:2] == [
        Receipt(7, when),
        [{"number": 7, "at": "2026-05-04T01:00:00Z"}, {"1": "one"}],
    ]
    assert got[2:] == got[:2]


async def test_async_functions_run_on_the_loop_and_plain_ones_in_a_thread(
    bench: Bench, registry: Registry
) -> None:
    def where(*args: int, **kwargs: int) -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), args, kwargs]

    async def on_loop(*args: int, **kwargs: int) -> list[Any]:
        return where(*args, **kwargs)

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> list[Any]:
        return [
            await ctx.step("loop", on_loop, 1, b=2),
            await ctx.step("thread", where, 1, name=2),
            await ctx.step("made in a thread", lambda: on_loop(3)),
        ]

    await bench.worker(registry)
    job = await bench.submit("order")
    await bench.ended(job)
    assert (await bench.last(job))["result"]["data"] == [
        [True, [1], {"b": 2}], [False, [1], {"name": 2}], [True, [3], {}],
    ]  # fmt: skip


async def test_a_handler_in_a_thread_has_steps_too(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    threads: list[Any] = []

    def plain(n: int) -> Receipt:
        threads.append(threading.current_thread())
        return Receipt(n, datetime(2026, 1, 1, tzinfo=UTC))

    @registry.job("order", backoff=SOON)
    def order(ctx: Context, payload: None) -> list[Any]:
        first = ctx.sync.step("charge", plain, 7, returns=Receipt)
        second = ctx.sync.step("call", calls.once, "call", 8)
        assert isinstance(first, Receipt)
        if ctx.attempt == 1:
            threads.append(threading.current_thread())
            raise ConnectionError("not yet")
        ctx.sync.sleep(0.05)
        return [first.number, second, ctx.sync.submit("other", queue="elsewhere")]

    await bench.worker(registry, unknown_types="accept")
    job = await bench.submit("order")
    await bench.ended(job)
    first, second, child = (await bench.last(job))["result"]["data"]
    assert (first, second, calls.made) == (7, 8, ["call"])
    assert threads[0] is threads[1] is not threading.main_thread()
    assert await bench.types(child, "elsewhere") == ["submitted"]
    assert await steps_of(bench, job) == ["charge", "call", "sleep-1", "submit-1"]
    await sound(bench, "default", "elsewhere")


async def test_each_handler_has_its_own_words(bench: Bench, registry: Registry) -> None:
    @registry.job("async")
    async def on_loop(ctx: Context, payload: None) -> None:
        ctx.sync.step("a", int)

    @registry.job("plain")
    def in_thread(ctx: Context, payload: None) -> None:
        ctx.step("a", int)  # pyright: ignore[reportUnusedCoroutine]

    await bench.worker(registry)
    for type, words in (("async", "await ctx"), ("plain", r"ctx.sync.step")):
        job = await bench.submit(type)
        assert (await bench.ended(job))[-1] == "failed"
        assert words in (await fault_of(bench, job))["message"]


async def test_steps_beside_each_other(bench: Bench, registry: Registry, calls: Calls) -> None:
    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> list[int]:
        found = await asyncio.gather(*(ctx.step(f"n{n}", calls.once, "", n) for n in range(50)))
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return found

    await bench.worker(registry)
    job = await bench.submit("order")
    await bench.ended(job)
    assert (await bench.last(job))["result"]["data"] == list(range(50))
    assert len(calls.made) == len(await steps_of(bench, job)) == 50
    await sound(bench)


async def test_a_step_that_raises_is_not_kept_and_may_be_tried_again(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    async def shaky(ctx: Context) -> int:
        calls.made.append("shaky")
        if len(calls.made) < 3:
            raise ConnectionError("not yet")
        return len(calls.made)

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> int:
        try:
            return await ctx.step("shaky", shaky, ctx)
        except ConnectionError:
            return await ctx.step("shaky", shaky, ctx)

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-4:] == ["queued", "started", "checkpointed", "succeeded"]
    assert await steps_of(bench, job) == ["shaky"]


async def test_verdicts_from_within_a_step(bench: Bench, registry: Registry) -> None:
    def no() -> None:
        raise Fail("closed")

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.step("no", no)

    await bench.worker(registry)
    job = await bench.submit("order")
    await bench.ended(job)
    assert (await fault_of(bench, job))["message"] == "closed"

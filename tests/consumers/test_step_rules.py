"""What a handler must not do with its steps, and how it is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from millstream.consumers import Context, Registry, StepError
from millstream.core.stepping import MAX_STEPS

from .conftest import Bench, Calls
from .stepping import SOON, fault_of, sound, steps_of


class Odd:
    pass


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ("a result of at most 1000 bytes (MILLSTREAM_MAX_STEP_BYTES), got 1001 bytes",
         lambda ctx: ctx.step("a", lambda: "x" * 999)),
        ("a result that can be JSON, got Odd: Encoding objects of type Odd is unsupported",
         lambda ctx: ctx.step("a", Odd)),
        ("a function and then its arguments, got 7",
         lambda ctx: ctx.step("a", 7)),
        ("a result as returns=<class 'int'> says, got Expected `int`, got `str`",
         lambda ctx: ctx.step("a", lambda: "x", returns=int)),
        ("1 to 128 printable characters, got ''", lambda ctx: ctx.step("", int)),
        ("1 to 128 printable characters, got 'a\\nb'", lambda ctx: ctx.step("a\nb", int)),
        ("1 to 128 printable characters, got 'aaa", lambda ctx: ctx.step("a" * 129, int)),
        ("1 to 128 printable characters, got 7", lambda ctx: ctx.step(7, int)),
        ("each name once in an attempt, the same in every attempt, got it a second time",
         lambda ctx: asyncio.gather(ctx.step("a", int), ctx.step("a", int))),
        ("either a duration or until, got neither", lambda ctx: ctx.sleep()),
        ("either a duration or until, got both",
         lambda ctx: ctx.sleep(1, until=datetime.now(UTC))),
        ("0 seconds to 366 days, got -1 s", lambda ctx: ctx.sleep(-1)),
        ("0 seconds to 366 days, got 3.16242e+07 s", lambda ctx: ctx.sleep(days=366, minutes=30)),
        ("numbers, got hours='6'", lambda ctx: ctx.sleep(hours="6")),
        ("until with its time zone", lambda ctx: ctx.sleep(until=datetime(2026, 1, 1))),  # noqa: DTZ001
    ],
)  # fmt: skip
async def test_a_broken_rule_fails_the_job_for_good(
    bench: Bench, registry: Registry, fault: str, body: Any
) -> None:
    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        await body(ctx)

    await bench.worker(registry, max_step_bytes=1000)
    job = await bench.submit("order")
    types = await bench.ended(job)
    assert types[-2:] == ["attempt_failed", "failed"]
    assert types.count("started") == 1
    assert (await bench.last(job))["reason"] == "non_retryable"
    told = await fault_of(bench, job)
    assert fault in told["message"]
    assert told["type"].endswith("StepError")
    await sound(bench)


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("ctx.step 'a'", lambda ctx: ctx.step("a", int)),
        ("ctx.sleep", lambda ctx: ctx.sleep(hours=1)),
        ("ctx.submit 'b'", lambda ctx: ctx.submit("order", name="b")),
    ],
)
async def test_what_a_handler_forgot_to_await_fails_the_job(
    bench: Bench, registry: Registry, fault: str, call: Any
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        await ctx.step("before", int)
        call(ctx)
        return "done"

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-2:] == ["attempt_failed", "failed"]
    told = await fault_of(bench, job)
    expected = f"{fault}: expected to be awaited before the handler returns, got no await"
    assert told["message"] == expected
    assert await steps_of(bench, job) == ["before"]


async def test_a_step_that_was_begun_and_given_up_was_not_forgotten(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        begun = asyncio.ensure_future(ctx.step("slow", asyncio.sleep, 60))
        begun.cancel()
        await asyncio.wait([begun])
        return "done"

    await bench.worker(registry)
    assert (await bench.ended(await bench.submit("order")))[-1] == "succeeded"


async def test_a_coroutine_is_no_function_and_is_closed(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.step("a", calls.once("a"))  # pyright: ignore[reportArgumentType]

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "failed"
    assert "called already?" in (await fault_of(bench, job))["message"]
    assert calls.made == []


async def test_a_broken_rule_that_is_caught_is_survived(
    bench: Bench, registry: Registry, calls: Calls
) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> str:
        await ctx.step("a", calls.once, "a")
        try:
            await ctx.step("a", calls.once, "again")
        except StepError as error:
            return str(error)
        return ""

    await bench.worker(registry)
    job = await bench.submit("order")
    await bench.ended(job)
    assert "each name once" in (await bench.last(job))["result"]["data"]
    assert calls.made == ["a"]


async def test_no_more_steps_than_a_job_may_have(bench: Bench, registry: Registry) -> None:
    ran: list[int] = []

    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        if ctx.attempt == 1:
            await asyncio.gather(*(ctx.step(f"n{n}", int) for n in range(MAX_STEPS)))
            raise ConnectionError("not yet")
        await ctx.step("n7", ran.append, 7)
        await ctx.step("one more", ran.append, 0)

    await bench.worker(registry)
    job = await bench.submit("order")
    await bench.ended(job)
    assert "at most 1000 steps of a job, got one more" in (await fault_of(bench, job))["message"]
    assert ran == []
    await sound(bench)


async def test_a_changed_type_is_an_ordinary_failure_that_a_deploy_can_mend(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> Any:
        kind: Any = {1: str, 2: int, 3: str}[ctx.attempt]
        got = await ctx.step("a", lambda: "text", returns=kind)
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return got

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "succeeded"
    assert "an earlier attempt kept another" in (await fault_of(bench, job))["message"]


@pytest.mark.parametrize(
    ("first", "then", "fault"),
    [
        (lambda ctx: ctx.step("x", int), lambda ctx: ctx.sleep(1, name="x"), "a sleep, got a step"),
        (lambda ctx: ctx.step("x", int), lambda ctx: ctx.submit("order", name="x"),
         "a submission, got a step"),
        (lambda ctx: ctx.submit("order", name="x", delay=60), lambda ctx: ctx.step("x", int),
         "a step, got a submission"),
        (lambda ctx: ctx.submit("order", name="x", delay=60), lambda ctx: ctx.sleep(1, name="x"),
         "a sleep, got a submission"),
    ],
)  # fmt: skip
async def test_a_name_must_stay_what_it_was(
    bench: Bench, registry: Registry, first: Any, then: Any, fault: str
) -> None:
    @registry.job("order", backoff=SOON)
    async def order(ctx: Context, payload: None) -> None:
        if ctx.attempt == 1:
            await first(ctx)
            raise ConnectionError("not yet")
        await then(ctx)

    await bench.worker(registry)
    job = await bench.submit("order")
    assert (await bench.ended(job))[-1] == "failed"
    message = (await fault_of(bench, job))["message"]
    assert f"expected {fault} of an earlier attempt: names must stay what they were" in message

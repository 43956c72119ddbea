"""Durable steps in a worker, on a real server: what is done once is not done again."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from millstream.consumers import (
    Backoff,
    Context,
    Fail,
    LeaseLost,
    Registry,
    Retry,
    StepError,
)
from millstream.core.embedded import Valkey
from millstream.core.events import Command
from millstream.core.queue import PartitionQueue
from millstream.core.stepping import MAX_STEPS, Kept
from tests.invariants import check
from tests.strategies import json_values

from .conftest import Bench, until

SOON = Backoff(kind="fixed", delay=0.02, jitter=0)


class Receipt(msgspec.Struct, frozen=True):
    number: int
    at: datetime


class Calls:
    """Functions that note their calls."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def once(self, name: str, result: Any = None) -> Any:
        self.made.append(name)
        return result


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def fault_of(bench: Bench, job: str) -> dict[str, Any]:
    """Why the last attempt of an ended job failed."""
    history = await bench.history(job)
    failed = [one for one in history if one.type == "job.attempt_failed"]
    return msgspec.json.decode(failed[-1].body)["error"]


async def steps_of(bench: Bench, job: str) -> list[str]:
    """The steps in the history of a job, in order."""
    found = [one for one in await bench.history(job) if one.type == "job.checkpointed"]
    return [msgspec.json.decode(one.body)["step"] for one in found]


async def sound(bench: Bench, *queues: str) -> None:
    (await check(bench.url, queues or ("default",))).require()


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

    # Its lease thread says nothing for a second: the step is sooner.
    await bench.worker(registry)
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
    await until(lambda: reached(bench), 15)
    assert (await bench.ended(job, 15))[-2:] == ["checkpointed", "succeeded"]


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


# ---------------------------------------------------------------- sleep


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
        return (await bench.types(job))[-1] == "snoozed"

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
    assert 300 <= wake_at - history[1].time < 600
    assert history[6].time >= wake_at
    assert (await bench.last(job))["result"]["data"] == 1
    await sound(bench)


async def test_a_sleep_outlives_its_worker(bench: Bench, registry: Registry, calls: Calls) -> None:
    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.step("before", calls.once, "before")
        await ctx.sleep(seconds=0.5)

    first = await bench.worker(registry)
    job = await bench.submit("order")

    async def asleep() -> bool:
        return (await bench.types(job))[-1] == "snoozed"

    await until(asleep)
    await first.drain()
    await bench.worker(registry)
    assert (await bench.ended(job))[-4:] == ["snoozed", "queued", "started", "succeeded"]
    assert calls.made == ["before"]
    await sound(bench)


async def test_one_that_is_woken_early_sleeps_for_the_rest(
    bench: Bench, registry: Registry
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1.2)

    @registry.job("order")
    async def order(ctx: Context, payload: None) -> None:
        await ctx.sleep(until=at if ctx.attempt == 1 else None)

    await bench.worker(registry)
    job = await bench.submit("order")

    async def asleep() -> bool:
        return (await bench.types(job))[-1] == "snoozed"

    await until(asleep)
    assert await bench.queue.reschedule([job], "+0", Command("ada")) == ["queued"]
    types = await bench.ended(job)
    assert types.count("snoozed") == 2
    assert types.count("checkpointed") == 1
    started = [one.time for one in await bench.history(job) if one.type == "job.started"]
    assert len(started) == 3
    assert started[2] / 1000 >= at.timestamp() - 0.005


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
        return (await bench.types(job))[-1] == "snoozed"

    await until(asleep)
    assert 21_600_000 - 5_000 < (await bench.last(job))["delay_ms"] <= 21_600_002
    await bench.queue.cancel([job], Command("ada"))
    await sound(bench)
    assert [key async for key in bench.redis.scan_iter(match="*:steps:*")] == []


# ---------------------------------------------------------------- the law of replay


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    st.lists(st.tuples(st.sampled_from(("step", "sleep", "submit")), json_values), max_size=5),
    st.sets(st.integers(0, 5), max_size=3),
)
async def test_a_handler_that_breaks_off_anywhere_does_each_step_once_and_sees_the_same(
    redis_url: str, plan: list[tuple[str, Any]], breaks: set[int]
) -> None:
    """Whatever it does and wherever it fails, it ends with the results of a run that did not."""
    registry, bench = Registry(), Bench(redis_url)
    await bench.redis.flushdb()
    seen: list[list[Any]] = []
    ran: list[int] = []
    failed: set[int] = set()

    @registry.job("child")
    async def child(ctx: Context, payload: Any) -> None:
        pass

    @registry.job("plan", max_attempts=9, backoff=Backoff(kind="fixed", delay=0, jitter=0))
    async def follow(ctx: Context, payload: None) -> None:
        seen.append([])
        for n, (kind, value) in enumerate(plan):
            if n in breaks and n not in failed:
                failed.add(n)
                raise ConnectionError("here")
            if kind == "step":
                seen[-1].append(await ctx.step(f"s{n}", work, n, value))
            elif kind == "sleep":
                await ctx.sleep(0.002)
            else:
                seen[-1].append(await ctx.submit("child", value))

    async def work(n: int, value: Any) -> Any:
        ran.append(n)
        return value

    try:
        await bench.worker(registry)
        job = await bench.submit("plan")
        assert (await bench.ended(job, 20))[-1] == "succeeded"
        assert ran == [n for n, (kind, _) in enumerate(plan) if kind == "step"]
        whole = seen[-1]
        assert all(one == whole[: len(one)] for one in seen)
        children = [one for one in await bench.history(job) if b"job_id" in one.body]
        assert len(children) == sum(kind == "submit" for kind, _ in plan)
        await sound(bench)
    finally:
        await bench.close()

"""The pipeline alone: one lease in, one verdict out, no server."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Fail, Registry, Retry, Snooze, outcomes
from millstream.consumers.attempts import Attempt, Stop
from millstream.consumers.executor import Executor
from millstream.consumers.faults import MAX_MESSAGE, MAX_TRACEBACK
from millstream.consumers.runners import Runners
from millstream.consumers.slots import Slots
from millstream.consumers.stats import Stats
from millstream.consumers.threads import Threads
from millstream.core.codec import Data, wrap
from millstream.core.events import JobSubmitted, body_of
from millstream.core.hot import Lease
from millstream.core.ids import new_id
from millstream.core.queue import Finish

NO_JITTER = Backoff(kind="exponential", delay=10, factor=3, jitter=0)


class Rig:
    """Slots, runners and an executor; verdicts arrive in `finishes`."""

    def __init__(self, registry: Registry, slots: int = 4, missing_after: float = 3600) -> None:
        self.finishes: dict[str, Finish] = {}
        self.arrived = asyncio.Event()
        self.stats = Stats()
        self.slots = Slots(slots)
        self.executor = Executor(registry, self.deliver, Threads(slots), self.stats, missing_after)
        self.runners = Runners(self.slots, self.executor.execute)

    def deliver(self, attempt: Attempt, finish: Finish) -> None:
        assert finish.id not in self.finishes, "two verdicts on one attempt"
        self.finishes[finish.id] = finish
        self.arrived.set()

    def start(self, type: str, payload: Any = None, *, spec: JobSubmitted | None = None,
              **lease: Any) -> Attempt:  # fmt: skip
        spec = spec or JobSubmitted(type, payload=wrap(payload))
        now = time.time_ns() // 1_000_000
        given: dict[str, Any] = {"partition": "default", "id": new_id("default"), "fence": 2}
        given |= {"attempt": 1, "crashes": 0, "now": now, "spec": body_of(spec)} | lease
        attempt = Attempt(Lease(**given), time.monotonic())
        self.slots.take([attempt])
        self.runners.put([attempt])
        return attempt

    async def verdict(self, attempt: Attempt) -> Finish:
        async with asyncio.timeout(5):
            while attempt.lease.id not in self.finishes:
                self.arrived.clear()
                await self.arrived.wait()
        return self.finishes[attempt.lease.id]

    async def run(self, type: str, payload: Any = None, **given: Any) -> Finish:
        return await self.verdict(self.start(type, payload, **given))


def body(finish: Finish) -> dict[str, Any]:
    return msgspec.json.decode(finish.body)


def end(finish: Finish) -> dict[str, Any]:
    return msgspec.json.decode(finish.end)


async def test_a_result_succeeds_from_the_loop_and_from_a_thread(registry: Registry) -> None:
    @registry.job("on.loop")
    async def on_loop(ctx: Context, payload: dict[str, int]) -> dict[str, Any]:
        return {"sum": sum(payload.values()), "attempt": ctx.attempt, "fence": ctx.fence}

    main = threading.get_ident()

    @registry.job("in.thread")
    def in_thread(ctx: Context, payload: int) -> bool:
        return threading.get_ident() != main

    rig = Rig(registry)
    finish = await rig.run("on.loop", {"a": 1, "b": 2}, attempt=3, fence=9)
    assert (finish.verdict, finish.fence) == ("succeeded", 9)
    assert body(finish)["result"]["data"] == {"sum": 3, "attempt": 3, "fence": 9}
    assert body(await rig.run("in.thread", 1))["result"]["data"] is True
    assert rig.slots.taken == 0


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("returned", [False, True])
async def test_verdicts_can_be_raised_or_returned(
    registry: Registry, threaded: bool, returned: bool
) -> None:
    verdicts = {
        "retry": Retry("busy", after=7),
        "snooze": Snooze(timedelta(minutes=2)),
        "fail": Fail("no such customer"),
    }

    def say(ctx: Context, which: str) -> Any:
        if returned:
            return verdicts[which]
        raise verdicts[which]

    async def say_async(ctx: Context, which: str) -> Any:
        return say(ctx, which)

    registry.job("say")(say if threaded else say_async)
    rig = Rig(registry)
    retry = await rig.run("say", "retry")
    assert (retry.verdict, retry.delay_ms) == ("retry", 7000)
    assert body(retry)["error"]["message"] == "busy"
    snooze = await rig.run("say", "snooze")
    assert (snooze.verdict, snooze.delay_ms) == ("snoozed", 120_000)
    assert body(snooze) == {"delay_ms": 120_000}
    fail = await rig.run("say", "fail")
    assert fail.verdict == "failed"
    assert end(fail) == {"reason": "non_retryable"}
    assert body(fail)["error"]["message"] == "no such customer"


async def test_snooze_until_counts_from_the_servers_clock(registry: Registry) -> None:
    @registry.job("later")
    async def later(ctx: Context, at: datetime) -> None:
        raise Snooze(until=at)

    rig = Rig(registry)
    server_now = 2_000_000_000_000  # years from what this machine thinks it is
    at = datetime.fromtimestamp(server_now / 1000 + 90, UTC)
    finish = await rig.run("later", at, now=server_now)
    assert 89_000 < finish.delay_ms <= 90_000


def test_wrong_verdicts_are_refused_where_they_are_made() -> None:
    with pytest.raises(TypeError, match="either seconds or until, got neither"):
        Snooze()
    with pytest.raises(ValueError, match="with its zone"):
        Snooze(until=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="0 seconds to 366 days, got -1"):
        Retry(after=-1)


async def test_an_exception_is_retried_by_backoff_until_attempts_are_exhausted(
    registry: Registry,
) -> None:
    @registry.job("breaks", backoff=NO_JITTER)
    async def breaks(ctx: Context, payload: None) -> None:
        raise LookupError("no row 7")

    rig = Rig(registry)
    second = await rig.run("breaks", attempt=2)
    assert (second.verdict, second.delay_ms) == ("retry", 30_000)
    assert body(second)["retry_ms"] == 30_000
    fault = body(second)["error"]
    assert (fault["type"], fault["message"]) == ("LookupError", "no row 7")
    last = await rig.run("breaks", attempt=5)
    assert last.verdict == "failed"
    assert end(last) == {"reason": "exhausted"}
    assert body(last)["error"]["type"] == "LookupError"
    own = JobSubmitted("breaks", max_attempts=9, backoff=Backoff(kind="fixed", delay=1, jitter=0))
    assert (await rig.run("breaks", spec=own, attempt=5)).delay_ms == 1000


class Declined(ValueError):
    """No use trying again."""


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Declined("no"), "failed"),
        (LookupError("no"), "failed"),
        (ValueError("no"), "retry"),
        (Retry("all the same", after=1), "retry"),
        (ExceptionGroup("both", [Declined("a"), ExceptionGroup("in", [KeyError("b")])]), "failed"),
        (ExceptionGroup("one of two", [Declined("a"), OSError("b")]), "retry"),
    ],
)
async def test_exceptions_that_are_never_retried(
    registry: Registry, error: Exception, verdict: str, threaded: bool
) -> None:
    def charge(ctx: Context, payload: None) -> None:
        raise error

    async def charge_async(ctx: Context, payload: None) -> None:
        raise error

    function = charge if threaded else charge_async
    registry.job("charge", non_retryable=(Declined, LookupError))(function)
    finish = await Rig(registry).run("charge")
    assert finish.verdict == verdict
    if verdict == "failed":
        assert end(finish) == {"reason": "non_retryable"}
        assert body(finish)["error"]["type"].endswith(type(error).__name__)


async def test_a_fault_is_bounded_valid_and_without_our_frames(registry: Registry) -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("\ud800" + "long " * 10_000)

    @registry.job("deep")
    async def on_loop(ctx: Context, payload: None) -> None:
        deep(200)

    @registry.job("deep.thread")
    def in_thread(ctx: Context, payload: None) -> None:
        deep(1)

    rig = Rig(registry)
    fault = body(await rig.run("deep"))["error"]
    assert len(fault["message"]) == MAX_MESSAGE
    assert len(fault["traceback"]) <= MAX_TRACEBACK
    threaded = body(await rig.run("deep.thread"))["error"]
    for trace in (fault["traceback"], threaded["traceback"]):
        assert "in deep" in trace
        assert "consumers/executor.py" not in trace
        assert "threading.py" not in trace


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
@pytest.mark.parametrize("threaded", [False, True])
async def test_no_exception_of_a_handler_ends_the_worker(
    registry: Registry, error: BaseException, threaded: bool
) -> None:
    def leave(ctx: Context, payload: None) -> None:
        raise error

    async def leave_async(ctx: Context, payload: None) -> None:
        raise error

    registry.job("leave")(leave if threaded else leave_async)
    rig = Rig(registry, slots=1)
    for _ in range(3):
        finish = await rig.run("leave")
        assert finish.verdict == "retry"
        assert body(finish)["error"]["type"].endswith(type(error).__name__)


async def test_a_wait_that_cannot_be_told_is_no_job_that_runs_for_ever(registry: Registry) -> None:
    @registry.job("fails")
    async def fails(ctx: Context, payload: None) -> None:
        raise ValueError("it broke")

    handler = registry.get("fails")
    assert handler is not None
    unfit = Registry()
    unfit.add(msgspec.structs.replace(handler, backoff="soon"))
    finish = await Rig(unfit, slots=1).run("fails")
    assert finish.verdict == "failed"
    assert "has no attribute" in body(finish)["error"]["message"]


async def test_a_payload_that_does_not_fit_fails_at_once_with_the_path(registry: Registry) -> None:
    class Mail(msgspec.Struct):
        to: list[str]

    ran = False

    @registry.job("mail")
    async def mail(ctx: Context, payload: Mail) -> None:
        nonlocal ran
        ran = True

    rig = Rig(registry)
    finish = await rig.run("mail", {"to": ["a", 5]})
    assert finish.verdict == "failed"
    assert end(finish) == {"reason": "non_retryable"}
    fault = body(finish)["error"]
    assert fault["type"] == "InvalidPayload"
    assert "$.to[1]" in fault["message"]
    coded = JobSubmitted("mail", payload=Data(msgspec.Raw(b'"zzz"'), codec="sealed"))
    sealed = await rig.run("mail", spec=coded)
    assert "codec 'json', got 'sealed'" in body(sealed)["error"]["message"]
    assert not ran


@pytest.mark.parametrize("value", [object(), {1, object()}, "\ud800"])
async def test_a_result_that_cannot_be_written_fails_the_job(
    registry: Registry, value: Any
) -> None:
    @registry.job("odd")
    async def odd(ctx: Context, payload: None) -> Any:
        return value

    finish = await Rig(registry).run("odd")
    assert end(finish) == {"reason": "non_retryable"}
    assert body(finish)["error"]["type"] == "InvalidResult"


async def test_a_plain_function_that_returns_a_coroutine_is_told_so(registry: Registry) -> None:
    async def inner() -> None: ...

    @registry.job("forgot")
    def forgot(ctx: Context, payload: None) -> Any:
        return inner()

    finish = await Rig(registry).run("forgot")
    assert "declare it with async def" in body(finish)["error"]["message"]


async def test_a_missing_handler_releases_then_gives_up(registry: Registry) -> None:
    rig = Rig(registry, missing_after=100)
    at = time.time_ns() // 1_000_000
    for age, delay in ((0, 1000), (10_000, 5000), (99_000, 49_500)):
        finish = await rig.run("nobody", now=at + age)
        assert finish.verdict == "released"
        assert abs(finish.delay_ms - delay) < 500
        assert body(finish)["reason"] == "handler_missing"
    scheduled = JobSubmitted("nobody", run_at=at + 200_000)
    assert (await rig.run("nobody", spec=scheduled, now=at + 201_000)).delay_ms == 1000
    finish = await rig.run("nobody", now=at + 101_000)
    assert (finish.verdict, finish.body) == ("failed", b"")
    assert end(finish)["reason"] == "handler_missing"
    assert "nobody" in end(finish)["error"]["message"]


@pytest.mark.parametrize(("elsewhere", "delay"), [(None, 1000), (True, 2000), (False, 49_500)])
async def test_while_nobody_knows_whether_others_could_it_is_offered_again_at_once(
    registry: Registry, elsewhere: bool | None, delay: int
) -> None:
    """Else who asks once a minute is told so each time, and the job is never given up."""
    rig = Rig(registry, missing_after=100)
    attempt = rig.start("nobody", now=time.time_ns() // 1_000_000 + 99_000)
    rig.executor.resolve(attempt)
    finish = outcomes.not_mine(attempt, "nobody", 100, elsewhere)
    assert abs(finish.delay_ms - delay) < 500


async def test_a_spec_of_a_later_release_is_left_to_others(registry: Registry) -> None:
    rig = Rig(registry)
    attempt = rig.start("x")
    attempt.lease = msgspec.structs.replace(attempt.lease, spec=b'{"type":"x","priority":"high"}')
    finish = await rig.verdict(attempt)
    assert finish.verdict == "released"


async def test_a_timeout_interrupts_the_loops_handler(registry: Registry) -> None:
    interrupted = asyncio.Event()

    @registry.job("slow", timeout=0.05)
    async def slow(ctx: Context, payload: None) -> None:
        assert ctx.remaining is not None
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            interrupted.set()
            raise

    rig = Rig(registry)
    finish = await rig.run("slow")
    assert interrupted.is_set()
    assert finish.verdict == "retry"
    assert body(finish)["error"] == {
        "type": "Timeout", "message": "the attempt took longer than 0.05 s",
    }  # fmt: skip
    own = JobSubmitted("slow", timeout_ms=10)
    assert "0.01 s" in body(await rig.run("slow", spec=own))["error"]["message"]


async def test_a_thread_knows_its_deadline_from_the_first_line(registry: Registry) -> None:
    @registry.job("quick", timeout=60)
    def quick(ctx: Context, payload: None) -> bool:
        return ctx.remaining is not None

    rig = Rig(registry)
    for _ in range(100):
        assert body(await rig.run("quick"))["result"]["data"] is True


async def test_a_timed_out_thread_keeps_its_slot_until_it_ends(registry: Registry) -> None:
    told, go = threading.Event(), threading.Event()

    @registry.job("slow", timeout=0.05)
    def slow(ctx: Context, payload: None) -> str:
        while not ctx.cancelled:
            time.sleep(0.001)
        told.set()
        go.wait(5)
        return "too late"

    rig = Rig(registry)
    finish = await rig.run("slow")
    assert body(finish)["error"]["type"] == "Timeout"
    assert await asyncio.to_thread(told.wait, 5)
    assert rig.slots.taken == 1
    go.set()
    async with asyncio.timeout(5):
        while rig.slots.taken:
            await asyncio.sleep(0.001)


async def test_a_function_stopped_before_it_has_a_thread_is_never_called(
    registry: Registry,
) -> None:
    began, go = threading.Event(), threading.Event()
    ran: list[str] = []

    @registry.job("one")
    def one(ctx: Context, payload: str) -> None:
        ran.append(payload)
        began.set()
        go.wait(5)

    rig = Rig(registry, slots=2)
    rig.executor._threads = Threads(1)
    first = rig.start("one", "first")
    assert await asyncio.to_thread(began.wait, 5)
    second = rig.start("one", "second")
    async with asyncio.timeout(5):
        while not second.in_thread:
            await asyncio.sleep(0)
    rig.executor.stop(second, Stop.CANCEL)
    go.set()
    assert (await rig.verdict(second)).verdict == "cancelled"
    assert (await rig.verdict(first)).verdict == "succeeded"
    assert ran == ["first"]


async def test_stop_reasons_win_over_what_the_handler_made_of_them(registry: Registry) -> None:
    started = asyncio.Event()

    @registry.job("swallows")
    async def swallows(ctx: Context, payload: None) -> str:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done anyway"
        return "never"

    rig = Rig(registry)
    for why, verdict in ((Stop.CANCEL, "cancelled"), (Stop.DRAIN, "released")):
        started.clear()
        attempt = rig.start("swallows")
        await started.wait()
        rig.executor.stop(attempt, why)
        assert (await rig.verdict(attempt)).verdict == verdict
    started.clear()
    attempt = rig.start("swallows")
    await started.wait()
    rig.executor.stop(attempt, Stop.LOST)
    async with asyncio.timeout(5):
        while rig.slots.taken:
            await asyncio.sleep(0)
    assert attempt.lease.id not in rig.finishes
    assert rig.stats.lost == 1


async def test_a_cancellation_never_reaches_the_runners_next_job(registry: Registry) -> None:
    started = asyncio.Event()

    @registry.job("first")
    async def first(ctx: Context, payload: None) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            # A second cancellation, left pending when the handler ends.
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    @registry.job("second")
    async def second(ctx: Context, payload: None) -> int:
        await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await asyncio.sleep(0.01)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    rig = Rig(registry, slots=1)  # so that one runner takes both
    a = rig.start("first")
    b = rig.start("second")
    await started.wait()
    rig.executor.stop(a, Stop.CANCEL)
    assert (await rig.verdict(a)).verdict == "cancelled"
    finish = await rig.verdict(b)
    assert finish.verdict == "succeeded"
    assert body(finish)["result"]["data"] == 0
    rig.executor.stop(a, Stop.CANCEL)  # late: it has ended
    assert (await rig.run("second")).verdict == "succeeded"


async def test_context_variables_do_not_leak_into_the_next_job(registry: Registry) -> None:
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="clean")

    @registry.job("sets")
    async def sets(ctx: Context, payload: str) -> str:
        before = seen.get()
        seen.set(payload)
        return before

    rig = Rig(registry, slots=1)
    for payload in ("a", "b", "c"):
        assert body(await rig.run("sets", payload))["result"]["data"] == "clean"


async def test_all_slots_run_at_once_and_no_more(registry: Registry) -> None:
    running, most, go = 0, 0, asyncio.Event()

    @registry.job("waits")
    async def waits(ctx: Context, payload: None) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1

    rig = Rig(registry, slots=3)
    attempts = [rig.start("waits") for _ in range(7)]
    async with asyncio.timeout(5):
        while running < 3:
            await asyncio.sleep(0)
    go.set()
    for attempt in attempts:
        assert (await rig.verdict(attempt)).verdict == "succeeded"
    assert most == 3

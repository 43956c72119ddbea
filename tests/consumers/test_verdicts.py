"""What a handler returns or raises is its verdict, on the loop and in a thread."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Fail, Registry, Retry, Snooze
from millstream.consumers.faults import MAX_MESSAGE, MAX_TRACEBACK
from millstream.core.events import JobSubmitted

from .rig import Rig, body, end

NO_JITTER = Backoff(kind="exponential", delay=10, factor=3, jitter=0)


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

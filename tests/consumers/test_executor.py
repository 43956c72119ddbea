"""Attempts that are timed out, stopped or crowded: slots, threads and runners hold."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

from millstream.consumers import Context, Registry
from millstream.consumers.attempts import Stop
from millstream.consumers.threads import Threads
from millstream.core.events import JobSubmitted

from .rig import Rig, body


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

    @registry.job("slow", timeout=0.5)  # one that is timed out before it has begun is not called
    def slow(ctx: Context, payload: None) -> str:
        while not ctx.cancelled:
            time.sleep(0.001)
        told.set()
        go.wait(60)
        return "too late"

    rig = Rig(registry)
    finish = await rig.run("slow")
    assert body(finish)["error"]["type"] == "Timeout"
    assert await asyncio.to_thread(told.wait, 60)
    assert rig.slots.taken == 1
    go.set()
    async with asyncio.timeout(60):
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
        go.wait(60)

    rig = Rig(registry, slots=2)
    rig.executor._threads = Threads(1)
    first = rig.start("one", "first")
    assert await asyncio.to_thread(began.wait, 60)
    second = rig.start("one", "second")
    async with asyncio.timeout(60):
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
    async with asyncio.timeout(60):
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
        async with asyncio.timeout(60):
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
    async with asyncio.timeout(60):
        while running < 3:
            await asyncio.sleep(0)
    go.set()
    for attempt in attempts:
        assert (await rig.verdict(attempt)).verdict == "succeeded"
    assert most == 3

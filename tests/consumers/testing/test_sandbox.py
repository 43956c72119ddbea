"""A sandbox: handlers run in it as in a worker, in memory and on a server alike."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from millstream.consumers import Backoff, Context, Fail, Registry, Retry, Snooze
from millstream.core.events import Command, JobProgressed, JobSnoozed, QueueConfigured
from millstream.core.jobs import JobState

from .conftest import Box


class Guest(msgspec.Struct):
    name: str


def greeting(registry: Registry) -> None:
    @registry.job("greet")
    async def greet(ctx: Context, guest: Guest) -> str:
        return f"Hello {guest.name}"


async def test_a_job_runs_when_it_is_told_to(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry, strict=True) as box:
        job = await box.submit("greet", {"name": "Ada"}, tags=["vip"])
        assert box.job(job).state is JobState.QUEUED
        assert await box.run() == 1
        seen = box.job(job)
        assert (seen.state, seen.result, seen.payload) == (
            "succeeded",
            "Hello Ada",
            {"name": "Ada"},
        )
        assert seen.story == ["submitted", "started", "succeeded"]
        assert (seen.tags, seen.attempt, seen.queue) == (["vip"], 1, "default")
        assert await box.run() == 0


async def test_a_plain_function_runs_in_a_thread(sandbox: Box, registry: Registry) -> None:
    seen: list[str] = []

    @registry.job("plain")
    def plain(ctx: Context, payload: Any) -> int:
        seen.append(threading.current_thread().name)
        found = ctx.sync.step("count", lambda: 41)
        ctx.sync.sleep(minutes=5)
        return found + 1

    async with sandbox(registry) as box:
        job = await box.submit("plain")
        await box.run()
        assert box.job(job).state == "scheduled"
        await box.advance(minutes=5)
        assert box.job(job).result == 42
    assert all(name.startswith("handler") for name in seen)


async def test_a_job_for_later_waits_for_its_time(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        began = box.now
        later = await box.submit("greet", {"name": "a"}, delay=60)
        at = await box.submit("greet", {"name": "b"}, run_at=began + timedelta(hours=1))
        assert await box.run() == 0
        await box.advance(seconds=59)
        assert (box.job(later).state, box.job(at).state) == ("scheduled", "scheduled")
        await box.advance(seconds=1.5)
        assert (box.job(later).state, box.job(at).state) == ("succeeded", "scheduled")
        await box.advance(minutes=59)
        assert box.job(at).state == "succeeded"
        passed = box.now - began
        assert timedelta(hours=1) <= passed < timedelta(hours=1, minutes=2)


async def test_times_of_the_sandbox_hold_after_it_was_stepped(
    sandbox: Box, registry: Registry
) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        await box.advance(days=2)
        job = await box.submit("greet", {"name": "a"}, run_at=box.now + timedelta(minutes=10))
        stale = await box.submit(
            "greet", {"name": "b"}, delay=600, expires_at=box.now + timedelta(minutes=5)
        )
        assert await box.run() == 0
        await box.advance(minutes=11)
        assert (box.job(job).state, box.job(stale).state) == ("succeeded", "failed")
        started = next(one for one in box.events(job) if one.type == "job.started")
        assert timedelta() <= box.now - started.at < timedelta(minutes=2)


async def test_retries_come_each_at_its_time(sandbox: Box, registry: Registry) -> None:
    at: list[datetime] = []

    @registry.job("flaky", backoff=Backoff(kind="fixed", delay=30, jitter=0), max_attempts=3)
    async def flaky(ctx: Context, payload: Any) -> str:
        at.append(box.now)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return "at last"

    async with sandbox(registry) as box:
        job = await box.submit("flaky")
        await box.run()
        assert box.job(job).state == "retrying"
        assert box.job(job).error is not None
        await box.advance(minutes=10)
        assert (box.job(job).result, box.job(job).attempt) == ("at last", 3)
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(at)]
    assert all(30 <= wait < 40 for wait in waits), waits


async def test_verdicts(sandbox: Box, registry: Registry) -> None:
    @registry.job("says")
    async def says(ctx: Context, what: str) -> None:
        match what:
            case "snooze":
                raise Snooze(90)
            case "until":
                raise Snooze(until=box.now + timedelta(hours=2))
            case "retry":
                raise Retry("busy", after=5)
            case _:
                raise Fail("no use")

    async with sandbox(registry) as box:
        snooze, until, retry, fail = [
            await box.submit("says", what) for what in ("snooze", "until", "retry", "fail")
        ]
        await box.run()
        assert JobSnoozed(90_000) in [one.body for one in box.events(snooze)]
        run_at = box.job(until).run_at
        assert run_at is not None
        assert abs(run_at - box.now - timedelta(hours=2)) < timedelta(seconds=30)
        assert (box.job(retry).state, box.job(fail).state) == ("retrying", "failed")
        error = box.job(fail).error
        assert error is not None
        assert error.message == "no use"


async def test_what_a_handler_submits_is_seen_and_run(sandbox: Box, registry: Registry) -> None:
    @registry.job("parent")
    async def parent(ctx: Context, payload: Any) -> None:
        await ctx.submit("child", {"n": 1})
        await ctx.submit("mail.send", {"to": "ada"}, delay=10)

    @registry.job("child", queue="side")
    async def child(ctx: Context, payload: dict[str, int]) -> int:
        return payload["n"]

    async with sandbox(registry, elsewhere=["mail.send"], strict=True) as box:
        job = await box.submit("parent")
        other = await box.submit("child", {"n": 2})
        assert await box.run() == 3
        one, mail = box.submitted(by=job)
        assert (one.type, one.result, one.queue) == ("child", 1, "side")
        assert (mail.type, mail.payload, mail.state) == ("mail.send", {"to": "ada"}, "scheduled")
        assert {found.id for found in box.submitted("child")} == {one.id, other}
        assert [found.id for found in box.submitted("mail.send")] == [mail.id]


async def test_a_crash_between_two_steps(sandbox: Box, registry: Registry) -> None:
    calls: list[str] = []

    @registry.job("order")
    async def order(ctx: Context, payload: Any) -> str:
        await ctx.step("charge", lambda: calls.append("charge"))
        await ctx.step("pack", lambda: calls.append("pack"))
        return f"crashes: {ctx.crashes}"

    async with sandbox(registry) as box:
        job = await box.submit("order")
        box.crash(job, after="charge")
        await box.run()
        assert (box.job(job).state, calls) == ("running", ["charge"])
        await box.advance(seconds=29)
        assert box.job(job).state == "running"
        await box.advance(seconds=2)
        assert (box.job(job).result, calls) == ("crashes: 1", ["charge", "pack"])
        assert box.job(job).story[-4:] == ["lease_expired", "started", "checkpointed", "succeeded"]


async def test_a_crash_in_a_thread(sandbox: Box, registry: Registry) -> None:
    calls: list[str] = []

    @registry.job("order")
    def order(ctx: Context, payload: Any) -> None:
        ctx.sync.step("charge", lambda: calls.append("charge"))
        ctx.sync.step("pack", lambda: calls.append("pack"))

    async with sandbox(registry) as box:
        job = await box.submit("order")
        box.crash(job, after="charge")
        await box.run()
        assert calls == ["charge"]
        await box.advance(minutes=1)
        assert (box.job(job).state, calls) == ("succeeded", ["charge", "pack"])


async def test_a_job_that_kills_its_workers_is_poison(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry, max_crashes=2, lease=10) as box:
        job = await box.submit("greet", {"name": "a"})
        box.crash(job)
        await box.run()
        box.crash(job)
        await box.advance(seconds=11)
        assert box.job(job).story[-2:] == ["lease_expired", "started"]
        await box.advance(seconds=11)
        assert (box.job(job).state, box.job(job).crashes) == ("failed", 2)


async def test_a_job_is_cancelled_while_it_runs(sandbox: Box, registry: Registry) -> None:
    started = asyncio.Event()

    @registry.job("long")
    async def long(ctx: Context, payload: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    async with sandbox(registry) as box:
        job = await box.submit("long")
        running = asyncio.create_task(box.run())
        await started.wait()
        assert await box.cancel(job) == "requested"
        assert await running == 1
        assert box.job(job).state == "cancelled"
        waiting = await box.submit("long", delay=5)
        assert await box.cancel(waiting) == "cancelled"


async def test_a_timeout_strikes_when_time_is_stepped(sandbox: Box, registry: Registry) -> None:
    started = asyncio.Event()
    remaining: list[float | None] = []

    @registry.job("slow", timeout=600, max_attempts=1)
    async def slow(ctx: Context, payload: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            remaining.append(ctx.remaining)

    async with sandbox(registry) as box:
        job = await box.submit("slow")
        running = asyncio.create_task(box.run())
        await started.wait()
        await box.advance(minutes=9)
        assert box.job(job).state == "running", "its lease is renewed, and it is not late yet"
        await box.advance(minutes=1)
        await running
        error = box.job(job).error
        assert error is not None
        assert (box.job(job).state, error.type) == ("failed", "Timeout")
        assert remaining == [0.0]


async def test_a_timeout_strikes_in_real_time_too(sandbox: Box, registry: Registry) -> None:
    @registry.job("slow", timeout=0.05, max_attempts=1)
    async def slow(ctx: Context, payload: Any) -> None:
        await asyncio.Event().wait()

    async with sandbox(registry) as box:
        job = await box.submit("slow")
        await box.run()
        assert box.job(job).state == "failed"


async def test_one_job_stands_for_all_like_it(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    unique = {"key": "a", "scope": "period", "period": 3600}
    async with sandbox(registry) as box:
        first = await box.submit("greet", {"name": "a"}, unique=unique)
        assert await box.submit("greet", {"name": "b"}, unique=unique) == first
        await box.advance(minutes=59)
        assert await box.submit("greet", {"name": "c"}, unique=unique) == first
        await box.advance(minutes=2)
        assert await box.submit("greet", {"name": "d"}, unique=unique) != first


async def test_limits_hold(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        await box.queue().configure(QueueConfigured("test"), {"r:greet": "60000000 1 {}"})
        jobs = [await box.submit("greet", {"name": name}) for name in "abc"]
        assert await box.run() == 1
        assert box.job(jobs[1]).blocked_on == "rate of type greet"
        await box.advance(seconds=70)
        assert [box.job(job).state for job in jobs] == ["succeeded", "succeeded", "blocked"]
        await box.run_to_end()
        assert all(box.job(job).ended for job in jobs)


async def test_a_rate_of_the_whole_queue_lets_in_as_time_is_stepped(
    sandbox: Box, registry: Registry
) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        await box.queue().configure(QueueConfigured("test"), {"r": "60000000 1 {}"})
        for name in "abc":
            await box.submit("greet", {"name": name})
        await box.run()
        assert [one.state for one in box.submitted()] == ["succeeded", "queued", "queued"]
        await box.advance(minutes=2, seconds=30)
        assert [one.state for one in box.submitted()] == ["succeeded"] * 3


async def test_jobs_at_a_time(sandbox: Box, registry: Registry) -> None:
    together = asyncio.Barrier(3)

    @registry.job("meet")
    async def meet(ctx: Context, payload: Any) -> None:
        await together.wait()

    async with sandbox(registry, concurrency=3, strict=True) as box:
        for _ in range(3):
            await box.submit("meet")
        await box.run()


async def test_a_paused_queue_runs_nothing(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        job = await box.submit("greet", {"name": "a"})
        await box.queue().set_mode("paused", Command("test", ""))
        await box.advance(hours=1)
        assert box.job(job).state == "queued"
        await box.queue().set_mode("open", Command("test", ""))
        await box.run()
        assert box.job(job).state == "succeeded"


async def test_a_dead_letter_is_redriven(sandbox: Box, registry: Registry) -> None:
    broken = [True]

    @registry.job("mends", max_attempts=1)
    async def mends(ctx: Context, payload: Any) -> str:
        if broken:
            raise ValueError("broken")
        return "mended"

    async with sandbox(registry) as box:
        job = await box.submit("mends")
        await box.run()
        assert box.job(job).state == "failed"
        broken.clear()
        assert await box.redrive(job) == "queued"
        assert await box.redrive(job) == "live"
        await box.run()
        assert box.job(job).result == "mended"


async def test_what_time_it_is_at_first(registry: Registry) -> None:
    from millstream.consumers.testing import Sandbox

    began = datetime(2030, 2, 28, 23, 59, tzinfo=UTC)

    @registry.job("nightly", cron="0 3 * * *", timezone="Europe/Berlin")
    async def nightly(ctx: Context, payload: Any) -> str:
        assert ctx.occurrence is not None
        return ctx.occurrence.isoformat()

    async with Sandbox(registry, start=began) as box:
        assert box.now == began
        await box.advance(days=2)
        assert box.now == began + timedelta(days=2)
        assert [one.result for one in box.submitted("nightly")] == [
            "2030-03-01T02:00:00+00:00",
            "2030-03-02T02:00:00+00:00",
        ]
        started = [one.at for one in box.events() if one.type == "job.started"]
        assert started == [datetime(2030, 3, day, 2, tzinfo=UTC) for day in (1, 2)]


async def test_progress_is_told_as_by_a_worker(sandbox: Box, registry: Registry) -> None:
    """In real time: of a handler that is over at once nothing is."""

    @registry.job("copy")
    async def copy(ctx: Context, told: float) -> None:
        ctx.progress(told, message="under way")
        while told < 1:
            job = await box.queue().job(ctx.job_id)
            if job is not None and job.version == 3:
                return
            await asyncio.sleep(0.01)

    async with sandbox(registry) as box:
        slow, fast = await box.submit("copy", 0.5), await box.submit("copy", 1)
        await box.run()
        assert box.job(slow).story == ["submitted", "started", "progressed", "succeeded"]
        assert box.job(fast).story == ["submitted", "started", "succeeded"]
        (told,) = [one.body for one in box.events(slow) if one.type == "job.progressed"]
        assert told == JobProgressed(0.5, "under way")

"""Time in the sandbox: it stands until it is stepped, and what waits for it comes in its turn."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from millstream.consumers import Backoff, Context, Registry
from millstream.core.events import QueueConfigured

from .conftest import Box
from .greetings import greeting


async def test_a_job_for_later_waits_for_its_time(sandbox: Box, registry: Registry) -> None:
    greeting(registry)
    async with sandbox(registry) as box:
        began = box.now
        later = await box.submit("greet", {"name": "a"}, delay=60)
        at = await box.submit("greet", {"name": "b"}, run_at=began + timedelta(hours=1))
        assert await box.run() == 0
        await box.advance(seconds=30)  # on a server real time passes, too
        assert (box.job(later).state, box.job(at).state) == ("scheduled", "scheduled")
        await box.advance(seconds=30.5)
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

"""A sandbox: handlers run in it as in a worker, in memory and on a server alike."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

from millstream.consumers import Context, Fail, Registry, Retry, Snooze
from millstream.core.events import Command, JobProgressed, JobSnoozed
from millstream.core.jobs import JobState

from .conftest import Box
from .greetings import greeting


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

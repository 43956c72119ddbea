"""A worker in this process, on a real server: what becomes of jobs."""

from __future__ import annotations

import asyncio
from typing import Any

from millstream.consumers import Backoff, Context, Fail, Registry, Snooze
from millstream.consumers.worker import Worker
from millstream.core.embedded import Valkey
from millstream.core.errors import Unavailable
from millstream.core.events import Command
from millstream.core.queue import Claim, PartitionQueue

from .conftest import Bench, until

SOON = Backoff(kind="fixed", delay=0.05, jitter=0)


async def test_jobs_run_in_order_of_priority_and_succeed(bench: Bench, registry: Registry) -> None:
    ran: list[str] = []

    @registry.job("say")
    async def say(ctx: Context, payload: str) -> str:
        ran.append(payload)
        return payload.upper()

    low = await bench.submit("say", "low", priority=9)
    high = await bench.submit("say", "high", priority=0)
    worker = await bench.worker(registry)
    for job in (low, high):
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    assert ran == ["high", "low"]
    assert (await bench.last(high))["result"]["data"] == "HIGH"
    await until(lambda: worker.stats.accepted == 2)
    assert worker.stats.verdicts == {"succeeded": 2}
    assert not worker.slots.held


async def test_a_failed_attempt_is_retried_after_its_backoff(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("second.time", backoff=SOON)
    async def second_time(ctx: Context, payload: None) -> int:
        if ctx.attempt == 1:
            raise ConnectionError("not yet")
        return ctx.attempt

    await bench.worker(registry)
    job = await bench.submit("second.time")
    assert await bench.ended(job) == [
        "submitted", "started", "attempt_failed", "queued", "started", "succeeded",
    ]  # fmt: skip
    failed, queued = (await bench.history(job))[2:4]
    assert b'"retry_ms":50' in failed.body
    assert queued.time - failed.time >= 50
    assert (await bench.last(job))["result"]["data"] == 2


async def test_exhausted_attempts_and_given_up_jobs_end_as_failed(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("never", backoff=SOON)
    async def never(ctx: Context, payload: None) -> None:
        raise RuntimeError("no")

    @registry.job("hopeless")
    def hopeless(ctx: Context, payload: None) -> None:
        raise Fail("no such account")

    await bench.worker(registry)
    exhausted = await bench.submit("never", max_attempts=2)
    given_up = await bench.submit("hopeless")
    assert (await bench.ended(exhausted))[-3:] == ["started", "attempt_failed", "failed"]
    assert (await bench.last(exhausted))["reason"] == "exhausted"
    assert await bench.ended(given_up) == ["submitted", "started", "attempt_failed", "failed"]
    assert (await bench.last(given_up))["reason"] == "non_retryable"


async def test_a_snoozed_job_comes_back_at_no_cost(bench: Bench, registry: Registry) -> None:
    calls: list[int] = []

    @registry.job("patient")
    async def patient(ctx: Context, payload: None) -> None:
        calls.append(ctx.attempt)
        if len(calls) < 3:
            raise Snooze(0.05)

    await bench.worker(registry)
    job = await bench.submit("patient", max_attempts=1)
    assert (await bench.ended(job))[-1] == "succeeded"
    assert calls == [1, 1, 1]


async def test_a_job_without_handler_is_released_and_fails_only_after_its_bound(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("known")
    async def known(ctx: Context, payload: None) -> None: ...

    await bench.worker(registry, handler_missing_after=3.0)
    job = await bench.submit("unknown")
    types = await bench.ended(job)
    assert types[:5] == ["submitted", "started", "released", "queued", "started"]
    assert types[-2:] == ["started", "failed"]
    first, last = (await bench.history(job))[0], (await bench.history(job))[-1]
    assert last.time - first.time >= 3000
    assert (await bench.last(job))["reason"] == "handler_missing"


async def test_an_idle_worker_starts_a_job_at_once(bench: Bench, registry: Registry) -> None:
    @registry.job("quick")
    async def quick(ctx: Context, payload: None) -> None: ...

    # Only a bell can have told it: there is no sweep while this test runs.
    await bench.worker(registry, sweep=3600.0)
    for _ in range(20):
        assert (await bench.ended(await bench.submit("quick")))[-1] == "succeeded"


async def test_a_delayed_job_starts_when_it_is_due(bench: Bench, registry: Registry) -> None:
    @registry.job("later")
    async def later(ctx: Context, payload: None) -> None: ...

    worker = await bench.worker(registry, sweep=3600.0)
    jobs = [await bench.submit("later", delay_ms=delay) for delay in (300, 150, 450)]
    claims = worker.stats.claims
    for job, delay in zip(jobs, (300, 150, 450), strict=True):
        assert await bench.ended(job) == ["submitted", "queued", "started", "succeeded"]
        submitted, queued, _, _ = await bench.history(job)
        assert queued.time >= submitted.time + delay
    assert worker.stats.claims - claims < 20, "it polled"


async def test_a_bell_taken_with_full_slots_is_handed_on(bench: Bench, registry: Registry) -> None:
    go = asyncio.Event()
    busy = asyncio.Event()

    @registry.job("hold")
    async def hold(ctx: Context, payload: None) -> None:
        busy.set()
        await go.wait()

    other = Registry()

    @other.job("hold")
    async def other_hold(ctx: Context, payload: None) -> str:
        return "other"

    first = await bench.worker(registry, sweep=3600.0, concurrency=1)
    await until(lambda: first._bells.listening)
    second = await bench.worker(other, sweep=3600.0, concurrency=1)
    await until(lambda: second._bells.listening)
    # Who has listened longest hears a bell. The first hears of the delayed job, is filled by it
    # when it comes due, and still listens when the next one rings.
    await bench.submit("hold", delay_ms=100)
    async with asyncio.timeout(60):
        await busy.wait()
    job = await bench.submit("hold")
    await bench.ended(job)
    assert (await bench.last(job))["result"]["data"] == "other"
    assert first.slots.taken == 1
    go.set()


class Forgetful(PartitionQueue):
    """Loses the reply of the first claim that has jobs, as a broken connection does."""

    lost = 0

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> Claim:
        claim = await super().claim(worker, limit, held=held)
        if claim.leases and not held and not self.lost:
            self.lost = len(claim.leases)
            raise Unavailable("the reply was lost")
        return claim


async def test_jobs_of_a_lost_reply_are_recovered_not_started_again(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("once")
    async def once(ctx: Context, payload: int) -> None: ...

    jobs = await bench.submit_many("once", [1, 2, 3])
    worker = Worker(bench.settings(), registry)
    bench.workers.append(worker)
    queue = Forgetful(worker._redis, "default", bench.keys)
    worker.directory._known["default"] = queue
    await worker.start()
    for job in jobs:
        assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    assert worker.stats.recovered == queue.lost == 3


async def test_a_lost_group_is_made_again(bench: Bench, registry: Registry) -> None:
    @registry.job("t")
    async def handle(ctx: Context, payload: None) -> None: ...

    await bench.worker(registry)
    assert (await bench.ended(await bench.submit("t")))[-1] == "succeeded"
    await bench.redis.xgroup_destroy(bench.keys.ready("default", 5), "workers")
    job = await bench.submit("t")
    assert (await bench.ended(job))[-1] == "succeeded"


async def test_redis_may_go_and_come_back(
    bench: Bench, registry: Registry, valkey_server: Valkey
) -> None:
    running, go = asyncio.Event(), asyncio.Event()

    @registry.job("through")
    async def through(ctx: Context, payload: None) -> None:
        running.set()
        await go.wait()

    await bench.worker(registry, lease=30.0)
    during = await bench.submit("through")
    async with asyncio.timeout(60):
        await running.wait()
    await asyncio.to_thread(valkey_server.stop)
    go.set()
    await asyncio.to_thread(valkey_server.start)
    assert await bench.ended(during) == ["submitted", "started", "succeeded"]
    assert (await bench.ended(await bench.submit("through")))[-1] == "succeeded"


async def test_a_worker_waits_for_a_server_that_is_not_there_yet(
    bench: Bench, registry: Registry, valkey_server: Valkey
) -> None:
    @registry.job("t")
    async def handle(ctx: Context, payload: None) -> None: ...

    job = await bench.submit("t")
    await asyncio.to_thread(valkey_server.stop)
    starting = asyncio.create_task(bench.worker(registry))
    await asyncio.sleep(0)
    assert not starting.done()
    await asyncio.to_thread(valkey_server.start)
    async with asyncio.timeout(60):
        await starting
    assert (await bench.ended(job))[-1] == "succeeded"


async def test_queues_served_follow_settings_and_handlers(bench: Bench, registry: Registry) -> None:
    @registry.job("mail", queue="emails")
    async def mail(ctx: Context, payload: None) -> None: ...

    by_default = await bench.worker(registry)
    assert sorted(by_default.queues) == ["default", "emails"]
    assert await bench.directory.types_of("emails") == {"mail"}
    assert set(await bench.directory.types()) == {"mail"}
    told = await bench.worker(registry, queues=("other",))
    assert told.queues == ["other"]
    every = await bench.worker(registry, queues=("*",))
    assert sorted(every.queues) == ["default", "emails", "other"]
    job = await bench.submit("mail", queue="brand-new")
    assert (await bench.ended(job, queue="brand-new"))[-1] == "succeeded"


async def test_one_full_queue_does_not_starve_the_others(bench: Bench, registry: Registry) -> None:
    order: list[str] = []

    @registry.job("t")
    async def handle(ctx: Context, payload: Any) -> None:
        order.append(ctx.queue)

    await bench.submit_many("t", [None] * 400, queue="full")
    job = await bench.submit("t", queue="quiet")
    await bench.worker(registry, queues=("full", "quiet"))
    await bench.ended(job, queue="quiet")
    assert order.index("quiet") < 100


async def test_a_running_job_is_cancelled_and_no_other(bench: Bench, registry: Registry) -> None:
    running: set[str] = set()
    go = asyncio.Event()

    @registry.job("wait")
    async def wait(ctx: Context, payload: None) -> None:
        running.add(ctx.job_id)
        await go.wait()

    await bench.worker(registry)
    victim, other = await bench.submit_many("wait", [None, None])
    await until(lambda: running == {victim, other})
    assert await bench.queue.cancel([victim], Command("me", "test")) == ["requested"]
    assert await bench.ended(victim) == ["submitted", "started", "cancel_requested", "cancelled"]
    assert (await bench.types(other))[-1] == "started"
    go.set()
    assert (await bench.ended(other))[-1] == "succeeded"

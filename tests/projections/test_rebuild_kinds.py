"""A rebuild makes every row of every kind of job again, and does nothing but that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Registry, Snooze
from millstream.core import events as ev
from millstream.core.codec import encode, wrap
from millstream.core.config import Settings
from millstream.core.encryption import Secret
from millstream.core.events import KINDS, Command, JobSubmitted, body_of
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.limits import QueueLimits, bounds_of, changed
from millstream.core.operating import Mode
from millstream.core.progressing import new_told
from millstream.core.queue import Finish, PartitionQueue, Redrive, new_job
from millstream.core.schedule_index import Schedules
from millstream.core.schedules import Schedule
from millstream.core.subjects import SubjectKeys, Wrapped
from millstream.projections.rebuild.course import Course, Step
from tests.consumers.conftest import Bench
from tests.consumers.conftest import until as holds
from tests.projections.stage import projecting, until_seq
from tests.projections.test_rebuild_retention import rows_of

SECRET = b"\x07" * 32
FLOW = "0197a5c0-0000-7000-8000-00000000000f"
BY = Command("ada", "a test")
SOON = Backoff(kind="fixed", delay=0.02, jitter=0)
FAULT = ev.Fault("E", "no")
QUEUES = ("default", "other", "hand")

ELSEWHERE = {
    "queue.restored": "the events of two epochs are those of tests/faults/test_redis_lost.py",
}
"""Events that do not happen here."""


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    bench = Bench(settings.redis_url)
    yield bench
    await bench.close()


def handlers() -> Registry:
    registry = Registry()

    @registry.job("order", max_attempts=2, backoff=SOON)
    async def order(ctx: Context, payload: Any) -> str:
        ctx.progress(1, 2, message="half of it")
        found = await ctx.step("look up", lambda: "found")
        if ctx.attempt == 1:
            raise OSError("not now")
        await ctx.submit("plain", found)
        return found

    @registry.job("plain")
    async def plain(ctx: Context, payload: Any) -> Any:
        if payload == "fail":
            raise ValueError("as was asked for")
        return payload

    @registry.job("later")
    async def later(ctx: Context, payload: Any) -> Any:
        return Snooze(3600)

    return registry


async def encrypted_jobs(bench: Bench) -> list[str]:
    """Jobs about a person, one of which fails."""
    secret = Secret(SECRET)
    id, wrapped = secret.make()
    key = secret.open(id, wrapped)
    await SubjectKeys(bench.redis, bench.keys).publish([Wrapped(secret.digest("ada"), id, wrapped)])
    made = [
        new_job(
            new_id("default"),
            JobSubmitted("plain", payload=key.encrypt("payload", encode(payload)), max_attempts=1),
        )
        for payload in ("a@example.org", "fail")
    ]
    await bench.queue.submit(made)
    return [job.id for job in made]


async def flow(bench: Bench) -> str:
    """Two parents in two queues; the child, whose end is that of the flow."""
    one, two, child = new_id("default"), new_id("other"), new_id("other")
    common: dict[str, Any] = {"flow": FLOW, "max_attempts": 1}
    spec = JobSubmitted(
        "plain", payload=wrap(3), depends_on=[one, two], on_parent_failure="run", **common
    )
    await bench.directory.queue("other").submit([new_job(child, spec)])
    for queue, id, payload in (("default", one, 1), ("other", two, "fail")):
        parent = new_job(id, JobSubmitted("plain", payload=wrap(payload), **common))
        await bench.directory.queue(queue).submit([parent._replace(before=[child])])
    return child


async def by_workers(bench: Bench) -> None:
    for queue in QUEUES:
        await bench.directory.register(queue)
    await bench.worker(handlers(), queues=("default", "other"), erasure_secret=SECRET)
    schedules = Schedules(bench.redis, bench.keys, bench.directory)
    tick = Schedule(name="tick", type="plain", queue="default", every=1, payload=msgspec.Raw(b"7"))
    await schedules.put(tick, BY)
    ended = [*await encrypted_jobs(bench), await bench.submit("order", tags=["a", "b"]),
             await bench.submit("plain", "fail", max_attempts=1)]  # fmt: skip
    await bench.submit("later")
    child = await flow(bench)
    for job in ended:
        await bench.ended(job)
    await bench.ended(child, queue="other")
    await holds(lambda: _told(bench, "default", "schedule.fired"))
    await _stand_still(bench, schedules)
    await holds(lambda: _told(bench, "default", "schedule.skipped"))
    await _operate(schedules)
    for worker in bench.workers:
        await worker.close()
    bench.workers.clear()


async def _stand_still(bench: Bench, schedules: Schedules) -> None:
    """Let a schedule stand where it stood a minute ago, as after a stop."""
    state = await schedules.find("tick")
    assert state is not None
    assert state.next is not None
    at = state.next - 60_000
    keys, redis = bench.keys, bench.redis
    await redis.hset(keys.schedule("default", "tick"), mapping={"next": at, "due": at})
    await redis.zadd(keys.schedule_due("default"), {"tick": at})


async def _operate(schedules: Schedules) -> None:
    own = schedules.of("default")
    await own.pause("tick", BY)
    state = await schedules.find("tick")
    assert state is not None
    other = Schedule(
        name="tick", type="plain", queue="default", every=3600, payload=msgspec.Raw(b"8")
    )
    await schedules.put(other, BY, old=state)
    state = await schedules.find("tick")
    assert state is not None
    await own.resume(state, BY, await schedules.now())
    await own.delete("tick", BY)


async def _told(bench: Bench, queue: str, kind: str) -> bool:
    return any(record.type == kind for record in await bench.queue_log(queue))


def spec_of(**given: Any) -> JobSubmitted:
    return JobSubmitted("hand", payload=wrap({"n": 1}), **given)


async def submit(queue: PartitionQueue, **given: Any) -> str:
    job = new_job(new_id("hand"), spec_of(**given))
    await queue.submit([job])
    return job.id


async def leased(queue: PartitionQueue, **given: Any) -> tuple[str, int]:
    """A job that runs, and its fence."""
    await submit(queue, **given)
    (lease,) = (await queue.claim("w", 1)).leases
    return lease.id, lease.fence


async def by_hand(queue: PartitionQueue) -> None:
    """What needs no worker, or what workers do only when they are ill."""
    failed, end = body_of(ev.JobAttemptFailed(FAULT)), body_of(ev.JobFailed("exhausted"))
    dead: list[tuple[str, int]] = []
    for _ in range(2):
        job, fence = await leased(queue, priority=1, tags=["dead"])
        assert await queue.finish([Finish(job, fence, "failed", failed, 0, end)]) == [True]
        dead.append((job, fence + 2))
    await queue.redrive([Redrive(*dead[0][:1], 5, dead[0][1], body_of(spec_of()), 10**6)], BY)
    await queue.discard([dead[1]], ev.JobDiscarded("ada", "old"))
    for verdict, event in (
        ("released", ev.JobReleased("drain", 10**6)),
        ("crashed", ev.JobCrashed("w", 1, "killed")),
    ):
        job, fence = await leased(queue, priority=2)
        assert await queue.finish([Finish(job, fence, verdict, body_of(event), 10**6)])  # type: ignore[arg-type]
    await leased(queue, priority=0)
    assert (await queue.reap(0, 9))[0]
    running, fence = await leased(queue, priority=0)
    await queue.cancel([running], BY)
    await queue.finish([Finish(running, fence, "released", body_of(ev.JobReleased("drain")))])
    await _waiting(queue)
    await _operated(queue)


async def _waiting(queue: PartitionQueue) -> None:
    moved = await submit(queue, delay_ms=10**6)
    await queue.reschedule([moved], "+5000", BY)
    locked = {"lock": "0f343b0931126a20f133d67c2b018a3b", "lock_scope": "waiting"}
    await submit(queue, delay_ms=10**6, **locked)
    other = new_job(new_id("hand"), spec_of(delay_ms=10**6, tags=["new"], **locked))
    await queue.submit([other._replace(policy="replace")])
    waits = await submit(queue, open=True, on_parent_failure="wait", flow=FLOW)
    assert await queue.extend(waits, [moved], {}, ev.JobClosed("ada")) == "extended"
    await submit(queue, delay_ms=1)
    await holds(lambda: _promoted(queue))


async def _promoted(queue: PartitionQueue) -> bool:
    return (await queue.promote())[0] > 0


async def _operated(queue: PartitionQueue) -> None:
    limits = msgspec.convert({"types": {"hand": {"concurrency": 1}}}, QueueLimits)
    await queue.configure(ev.QueueConfigured("ada", "", changed(limits)), bounds_of(limits))
    for _ in range(3):
        await submit(queue)
    (lease,) = (await queue.claim("w", 5)).leases  # the others are blocked
    half = ev.JobProgressed(0.5, "half")
    assert await queue.progress([new_told(lease.id, lease.fence, half)]) == [1]
    modes: tuple[Mode, ...] = ("paused", "draining", "open")
    for mode in modes:
        await queue.set_mode(mode, BY)
    await submit(queue, expires_at=1)
    await queue.claim("w", 5)
    await queue.purge(BY)
    await queue.announce(ev.WorkerStarted("v"))
    await queue.announce(ev.WorkerStopped("v"))
    await queue.announce(ev.WorkerStarted("w"), {"hand": {}})
    await queue.lose(["w"])
    # What is waiting at the end, each in its own way.
    await submit(queue)
    assert (await queue.claim("w", 5)).leases == [], "its type is at its limit"
    await submit(queue, delay_ms=10**6)
    other = new_job(new_id("hand"), JobSubmitted("other"))
    await queue.submit([other])
    (lease,) = (await queue.claim("w", 1)).leases
    retry = Finish(lease.id, lease.fence, "retry", body_of(ev.JobAttemptFailed(FAULT, 5)), 10**6)
    assert await queue.finish([retry]) == [True]
    await submit(queue)


async def test_every_kind_of_event_and_job_comes_out_the_same(
    settings: Settings, bench: Bench, pool: Any
) -> None:
    await by_workers(bench)
    await by_hand(bench.directory.queue("hand"))
    ends = {queue: (await bench.queue_log(queue))[-1].seq for queue in QUEUES}
    async with projecting(settings):
        for queue, seq in ends.items():
            await until_seq(pool, seq, queue)
    seen = {row[0] for row in await pool.fetch("SELECT DISTINCT type FROM job_events")}
    assert KINDS.keys() - seen == ELSEWHERE.keys()
    assert await pool.fetchval("SELECT count(*) FROM parked_events") == 0
    before, outside = await rows_of(pool), await everything_else(bench)
    assert all(before[table] for table in before if table != "parked_events")
    await _covered(pool)
    steps: list[Step] = []
    await Course(settings, steps.append, processes=2, accept=False).run()
    assert await rows_of(pool) == before
    assert await everything_else(bench) == outside, "nobody is told anything again"


async def _covered(pool: Any) -> None:
    """What the rows must hold for this to prove something."""
    for condition in ("progress IS NOT NULL", "flow IS NOT NULL", "payload_codec IS NOT NULL",
                      "result_codec IS NOT NULL", "schedule IS NOT NULL", "discarded",
                      "fingerprint IS NOT NULL", "on_parent_failure IS NOT NULL",
                      "error IS NOT NULL", "tags IS NOT NULL", "blocked_on IS NOT NULL",
                      "expires_at IS NOT NULL", "crashes > 0"):  # fmt: skip
        assert await pool.fetchval(f"SELECT count(*) FROM jobs WHERE {condition}"), condition
    states = await pool.fetchval("SELECT count(DISTINCT state) FROM jobs")
    assert states == len(JobState)


async def everything_else(bench: Bench) -> dict[bytes, bytes | None]:
    """All that Redis holds, but for what runs down by itself."""
    keys = [key async for key in bench.redis.scan_iter(count=1000)]
    return {key: await bench.redis.dump(key) for key in keys}

"""State is broken in a real Redis, and each job that goes nowhere is named by a real projector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from millstream.consumers import Backoff, Context, Registry
from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.workers import Report, Workers
from millstream.projections import queries
from millstream.projections.conservation import auditor, store
from millstream.projections.conservation.reading import PartitionAudit, audits
from tests.consumers.conftest import Bench
from tests.core.verbs.mill import Mill
from tests.projections.stage import projecting, until, until_seq


class Watch:
    """A mill that is projected and audited, and what the auditor says."""

    def __init__(self, mill: Mill, settings: Settings, pool: Any) -> None:
        self.mill = mill
        self.settings = msgspec.structs.replace(settings, stuck_after=1.0, lease=3.0)
        self.pool = pool
        self.worker: Report | None = None

    async def said(self) -> PartitionAudit | None:
        if self.worker is not None:  # says so again and again, else it would be taken for silent
            await Workers(self.mill.redis, self.mill.keys).report(self.worker)
        found = await audits(self.pool)
        return found[0] if found else None

    async def until_said(self, holds: Callable[[PartitionAudit], bool]) -> PartitionAudit:
        async def there() -> PartitionAudit | None:
            said = await self.said()
            return said if said is not None and holds(said) else None

        return await until(there, 60)

    async def settled(self) -> None:
        """All is projected, and one whole round has seen it."""
        await until_seq(self.pool, len(await self.mill.log()))
        (live,) = await self.pool.fetchrow(
            "SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')"
        )
        await self.until_said(lambda said: said.jobs == live)


@pytest.fixture
async def watch(
    redis_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Watch]:
    monkeypatch.setattr(auditor, "TURN", 0.05)
    monkeypatch.setattr(auditor, "AT_ONCE", 3)
    monkeypatch.setattr(store, "NOTE_EVERY", 0.0)
    mill = Mill(redis_url)
    await mill.redis.sadd(mill.keys.queues, "default")
    pool = await queries.connect(settings)
    yield Watch(mill, settings, pool)
    await pool.close()
    await mill.redis.aclose()


async def busy(mill: Mill) -> dict[str, str]:
    """A job in each live state, by state."""
    leases = [await mill.started() for _ in range(2)]
    assert await mill.finish(leases[0], "retry", delay_ms=600_000)
    (scheduled,) = await mill.submit(delay_ms=600_000)
    await mill.queue.configure(ev.QueueConfigured("ada"), {"c:slow": "1"})
    await mill.submit(2, type="slow")
    parked = (await mill.claim(2), mill.accepted[-1])[1]
    queued = (await mill.submit(5))[0]
    return {
        "running": leases[1].id, "retrying": leases[0].id, "scheduled": scheduled,
        "blocked": parked, "queued": queued,
    }  # fmt: skip


Breaking = Callable[[Mill, str], Awaitable[Any]]

BROKEN: dict[str, tuple[str, Breaking, str, str]] = {
    f"the hot state of one that is {state}": (
        state, lambda m, job: m.redis.delete(m.keys.job("default", job)), "lost", "Redis knows",
    )
    for state in ("running", "retrying", "scheduled", "blocked", "queued")
} | {
    "a ready entry": (
        "queued", lambda m, _: m.redis.xtrim(m.keys.ready("default", 5), maxlen=0),
        "stuck", "it is not where its state says",
    ),
    "a due time": (
        "scheduled", lambda m, job: m.redis.zrem(m.keys.due("default"), job),
        "stuck", "it is not where its state says",
    ),
    "a place at a gate": (
        "blocked", lambda m, job: m.redis.hdel("{ms:default}:blocked", job),
        "stuck", "it is not where its state says",
    ),
    "a second entry of one that is ready": (
        "queued", lambda m, job: m.redis.xadd(m.keys.ready("default", 5), {"job": job}),
        "doubled", "two ready entries",
    ),
    "a second entry of one that runs": (
        "running", lambda m, job: m.redis.xadd(m.keys.ready("default", 5), {"job": job}),
        "doubled", "two ready entries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
async def test_a_job_that_goes_nowhere_is_named(watch: Watch, what: str) -> None:
    state, damage, kind, why = BROKEN[what]
    jobs = await busy(watch.mill)
    async with projecting(watch.settings):
        await watch.settled()
        said = await watch.said()
        assert said is not None
        assert said.sound, said
        await damage(watch.mill, jobs[state])
        said = await watch.until_said(lambda said: jobs[state] in said.examples[kind])
        assert why in said.examples[kind][jobs[state]]
        others = {"lost", "doubled", "stuck"} - {kind}
        assert not any(getattr(said, other) for other in others), said


async def test_what_is_mended_is_no_longer_said(watch: Watch) -> None:
    jobs, mill = await busy(watch.mill), watch.mill
    key = mill.keys.job("default", jobs["scheduled"])
    async with projecting(watch.settings):
        await watch.settled()
        kept = await mill.redis.get(key)
        await mill.redis.delete(key)
        await watch.until_said(lambda said: said.lost == 1)
        await mill.redis.set(key, kept)
        await watch.until_said(lambda said: said.lost == 0)


async def test_all_of_redis_lost(watch: Watch) -> None:
    jobs = await busy(watch.mill)
    async with projecting(watch.settings):
        await watch.settled()
        await watch.mill.redis.flushall()
        await watch.mill.redis.sadd(watch.mill.keys.queues, "default")
        said = await watch.until_said(lambda said: said.lost == 10)
        assert set(jobs.values()) <= set(said.examples["lost"])


async def test_due_but_not_run_though_workers_have_room(watch: Watch) -> None:
    """A worker that says it is there, and never claims: nobody runs what is ready and due."""
    mill = watch.mill
    (ready,) = await mill.submit()
    (due,) = await mill.submit(delay_ms=1)
    async with projecting(watch.settings):
        await watch.settled()
        late = await mill.now() + 1500
        said = await watch.until_said(lambda said: said.checked_at > late)
        assert said.sound  # there is no worker, which explains it
        watch.worker = Report("w", "h", 1, 1, ["default"], [], 5)
        said = await watch.until_said(lambda said: said.stuck == 2)
        assert set(said.examples["stuck"]) == {ready, due}
        watch.worker = msgspec.structs.replace(watch.worker, running=5)
        await watch.until_said(lambda said: said.stuck == 0)


async def test_a_lease_that_nobody_takes_back(watch: Watch) -> None:
    lease = await watch.mill.started()
    settings = msgspec.structs.replace(watch.settings, lease=0.2)
    watch.worker = Report("w", "h", 1, 1, ["default"], [], 5)
    async with projecting(settings):
        said = await watch.until_said(lambda said: said.stuck == 1)
    assert "lease was not renewed" in said.examples["stuck"][lease.id]


async def test_an_end_told_twice(watch: Watch) -> None:
    mill = watch.mill
    lease = await mill.started()
    assert await mill.finish(lease, "succeeded")
    body = ev.body_of(ev.JobCancelled("eve"))
    seq = await mill.redis.hincrby(mill.keys.meta("default"), "seq", 1)
    fields: dict[Any, Any] = {"seq": seq, "epoch": 1, "type": "job.cancelled", "job": lease.id,
                              "version": lease.fence + 2, "body": body}  # fmt: skip
    await mill.redis.xadd(mill.keys.log("default"), fields)
    async with projecting(watch.settings):
        said = await watch.until_said(lambda said: said.doubled == 1)
    assert "second time" in said.examples["doubled"][lease.id]


async def test_one_of_two_projectors_audits(watch: Watch) -> None:
    await busy(watch.mill)
    async with projecting(watch.settings, count=2):
        await watch.settled()
        holders = (
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database() AND objid = $1"
        )
        assert await watch.pool.fetchval(holders, store._LOCK & 0xFFFFFFFF) == 1


async def load(bench: Bench) -> None:
    """Jobs that are retried, wait for a time or a limit, and are cancelled."""
    await bench.queue.configure(ev.QueueConfigured("ada"), {"c": "6"})
    for turn in range(15):
        jobs = await bench.submit_many("load", list(range(40)))
        await bench.submit_many("load", list(range(10)), delay_ms=300 + turn)
        await bench.queue.cancel(jobs[::9], ev.Command("ada"))


async def test_nothing_is_said_of_jobs_that_do_well(watch: Watch) -> None:
    """Under load no round finds anything."""
    registry, bench = Registry(), Bench(watch.mill.url)
    registry.job("load", backoff=Backoff("fixed", delay=0.1))(_now_and_then)
    # No wait is a fault: all may stand still for seconds where others want the machine, too.
    settings = msgspec.structs.replace(watch.settings, audit_rate=100_000, stuck_after=15.0)
    wrong: list[PartitionAudit] = []

    async def drained() -> bool:
        said = await watch.said()
        if said is not None and not said.sound:
            wrong.append(said)
        ended = await watch.pool.fetchval(
            "SELECT sum(count) FROM job_counts WHERE state IN ('succeeded', 'cancelled')"
        )
        return ended == 750 and said is not None and said.jobs == 0

    try:
        async with projecting(settings):
            await bench.worker(registry)
            loading = asyncio.create_task(load(bench))
            await until(drained, 120)
            await loading
    finally:
        await bench.close()
    assert wrong == []


async def _now_and_then(ctx: Context, payload: int) -> None:
    if payload % 7 == 0 and ctx.attempt == 1:
        raise ValueError("again")
    await asyncio.sleep(payload % 3 / 1000)

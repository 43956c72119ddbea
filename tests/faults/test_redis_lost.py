"""Redis loses a queue, or goes back: it halts, says so, and is brought back from the archive."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.errors import LogLost
from millstream.core.events import Command
from millstream.core.ids import new_ids
from millstream.core.limits import QueueLimits, bounds_of, changed
from millstream.core.log import LogReader
from millstream.core.queue import Finish, new_job
from millstream.core.schedule_store import PartitionSchedules
from millstream.core.schedules import Schedule
from millstream.core.unique import Unique, lock_of
from millstream.projections import queries
from millstream.projections.restore.course import restore
from millstream.projections.restore.report import PartitionReport, Report
from tests.invariants import check
from tests.projections.stage import Log, open_log, projecting, until

BY = Command("ada", "disk died")


@pytest.fixture
async def log(settings: Settings) -> Any:
    async with open_log(settings) as log:
        await log.redis.sadd(log.keys.queues, log.partition)
        yield log


@pytest.fixture
async def pool(settings: Settings) -> Any:
    pool = await queries.connect(settings)
    yield pool
    await pool.close()


async def run(settings: Settings, **more: Any) -> Report:
    return await restore(settings, by=BY, dry_run=more.pop("dry_run", False), **more)


async def restored(settings: Settings, **more: Any) -> PartitionReport:
    (report,) = (await run(settings, **more)).partitions
    return report


async def submit(log: Log, count: int, **spec: Any) -> list[str]:
    ids = list(new_ids(log.partition, count))
    given: dict[str, Any] = {"type": "t", "payload": wrap({"n": 1})}
    body = ev.JobSubmitted(**(given | spec))
    await log.queue.submit([new_job(job, body) for job in ids])
    return ids


async def succeed(log: Log, leases: Any) -> list[bool]:
    done = ev.body_of(ev.JobSucceeded(wrap("ok")))
    return await log.queue.finish([Finish(one.id, one.fence, "succeeded", done) for one in leases])


async def drain(log: Log) -> list[str]:
    """Run all that may run; which jobs that were."""
    ran: list[str] = []
    while leases := (await log.queue.claim("drain", 50)).leases:
        assert all(await succeed(log, leases))
        ran += [one.id for one in leases]
    return ran


async def archived(log: Log, pool: Any) -> int:
    """Wait until all of the log is archived; its last seq."""
    head = await LogReader(log.redis, log.keys).head(log.partition)

    async def there() -> bool:
        row = await pool.fetchrow("SELECT epoch, seq FROM checkpoints WHERE partition = $1",
                                  log.partition)  # fmt: skip
        return row is not None and tuple(row) == (head.epoch, head.seq)

    await until(there)
    return head.seq


async def halted(log: Log) -> str:
    """Wait until the queue says that it is lost; why."""

    async def said() -> str | None:
        return (await LogReader(log.redis, log.keys).head(log.partition)).lost

    return await until(said)


async def in_every_state(log: Log) -> dict[str, list[str]]:
    """Jobs in every state there is, with locks, steps, limits and schedules."""
    queue = log.queue
    made: dict[str, list[str]] = {}
    limits = msgspec.convert({"types": {"tight": {"concurrency": 1}}}, QueueLimits)
    await queue.configure(ev.QueueConfigured("ada", "", changed(limits)), bounds_of(limits))
    made["done"] = await submit(log, 5)
    assert all(await succeed(log, (await queue.claim("w", 5)).leases))
    made["failing"] = await submit(log, 4)
    first, *rest = (await queue.claim("w", 4)).leases
    fault = ev.Fault("E", "no")
    retry = ev.body_of(ev.JobAttemptFailed(fault, 10**7))
    last, end = ev.body_of(ev.JobAttemptFailed(fault)), ev.body_of(ev.JobFailed("exhausted"))
    assert all(
        await queue.finish(
            [
                Finish(first.id, first.fence, "retry", retry, 10**7),
                *(Finish(one.id, one.fence, "failed", last, 0, end) for one in rest),
            ]
        )
    )
    from millstream.core.queue import Redrive

    redriven = [Redrive(one.id, 5, one.fence + 2, one.spec, delay)
                for one, delay in zip(rest[:2], (0, 10**7), strict=True)]  # fmt: skip
    assert await queue.redrive(redriven, BY) == ["queued", "scheduled"]
    made["later"] = await submit(log, 3, delay_ms=10**7)
    made["running"] = await submit(log, 3, priority=0, type="stepped")
    leases = (await queue.claim("w", 3)).leases
    step = ev.body_of(ev.JobCheckpointed("charge", wrap({"receipt": 2**63})))
    assert (
        await queue._run("checkpoint", [100, leases[0].id, leases[0].fence, "charge", step])
    ) == [1]
    assert await queue.cancel([leases[2].id], BY) == ["requested"]
    made["tight"] = await submit(log, 3, type="tight", priority=1)
    assert len((await queue.claim("w", 1)).leases) == 1
    lock = lock_of("t", b"1", Unique())
    made["locked"] = await submit(log, 1, lock=lock, lock_scope="unfinished", payload=wrap(1))
    timed = {"lock": lock_of("t", b"2", Unique(scope="period", period=600)), "lock_scope": "period"}
    made["timed"] = await submit(log, 1, lock_ms=600_000, payload=wrap(2), priority=0, **timed)
    assert await succeed(log, (await queue.claim("w", 1)).leases) == [True]
    schedules = PartitionSchedules(queue, log.redis, log.keys)
    now = (await queue.inspect()).now
    for name in ("hourly", "resting", "gone"):
        given = Schedule(name=name, type="t", every=3600.0)
        await schedules.put(given, BY, now=now)
    await schedules.pause("resting", BY)
    await schedules.delete("gone", BY)
    made["waiting"] = await submit(log, 20)
    return made


async def test_after_flushall_the_queue_is_what_it_was(
    settings: Settings, log: Log, pool: Any
) -> None:
    async with projecting(settings):
        made = await in_every_state(log)
        seq = await archived(log, pool)
        before = await _dump(log)
        await log.redis.flushall()
        assert "gone back" in await halted(log)
        with pytest.raises(LogLost, match="gone back"):
            await submit(log, 1)
        with pytest.raises(LogLost):
            await log.queue.claim("w", 1)
        dry = await restored(settings, dry_run=True)
        assert await log.redis.exists(log.keys.log("default")) == 0, "nothing was changed"
        report = await restored(settings)
        assert msgspec.structs.replace(dry, jobs=report.jobs) == report
        assert (report.unrecoverable, report.after) == ([], f"default:1:{seq}")
        running = {*made["running"][:2], made["tight"][0]}
        assert set(report.jobs.released) == running
        assert report.jobs.ended == [made["running"][2]]
        after = await _dump(log)
        assert after["schedules"] == before["schedules"]
        assert after["locks"] == before["locks"]
        assert after["due"] == before["due"]
        assert after["limits"] == before["limits"]
        assert await archived(log, pool) > seq
        (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()
        assert await pool.fetchval("SELECT epoch FROM checkpoints") == 2
        ran = set(await drain(log))
        once = {*made["waiting"], *made["locked"], *made["tight"][1:]}
        assert running | once <= ran
        assert not ran & {*made["done"], *made["timed"], *made["later"], made["running"][2]}
        await archived(log, pool)
    report_of = await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)
    report_of.require()
    assert set(report_of.reruns) & {*made["waiting"], *made["done"]} == set()


async def _dump(log: Log) -> dict[str, Any]:
    base, redis = log.keys.base(log.partition), log.redis
    locks = [key async for key in redis.scan_iter(match=f"{base}:unique:*")]
    hashes = [key async for key in redis.scan_iter(match=f"{base}:schedule:*")]
    return {
        "locks": {key: await redis.get(key) for key in locks},
        "schedules": {key: await redis.hgetall(key) for key in hashes}
        | {"due": await redis.zrange(log.keys.schedule_due("default"), 0, -1, withscores=True)},
        "due": set(await redis.zrange(log.keys.due("default"), 0, -1)),
        "limits": await redis.hgetall(log.keys.limits("default")),
    }


async def test_what_was_not_archived_is_told(settings: Settings, log: Log, pool: Any) -> None:
    async with projecting(settings):
        await submit(log, 10)
        seq = await archived(log, pool)
    await submit(log, 5)
    await log.redis.delete(log.keys.log("default"))
    with pytest.raises(LogLost):
        await submit(log, 1)
    told = [f"default:1:{seq}", f"default:1:{seq + 5}", "other:1:9"]
    found = await run(settings, acknowledged=told)
    (report,) = found.partitions
    (lost,) = report.unrecoverable
    assert (lost.first, lost.last) == (f"default:1:{seq + 1}", f"default:1:{seq + 5}")
    assert found.acknowledged == [f"default:1:{seq + 5}"]
    row = await pool.fetchrow("SELECT * FROM log_losses")
    assert (row["archived"], row["known"], row["new_epoch"]) == (seq, seq + 5, 2)
    async with projecting(settings):
        assert len(await drain(log)) == 10
        await archived(log, pool)
    (
        await check(settings.redis_url, ["default"], drained=True, dsn=settings.postgres_dsn)
    ).require()


async def test_what_is_left_of_the_log_is_kept(settings: Settings, log: Log, pool: Any) -> None:
    """Only `:meta` was lost: the log holds all, some of it not archived."""
    async with projecting(settings):
        first = await submit(log, 5)
        await archived(log, pool)
    second = await submit(log, 5)
    await log.redis.delete(log.keys.meta("default"))
    report = await restored(settings)
    assert (report.salvaged, report.unrecoverable, report.dropped) == (5, [], [])
    assert set(report.jobs.salvaged) == set(second)
    async with projecting(settings):
        assert set(await drain(log)) == {*first, *second}
        await archived(log, pool)
    found = await check(
        settings.redis_url, ["default"], acknowledged=first + second, drained=True,
        dsn=settings.postgres_dsn,
    )  # fmt: skip
    found.require()
    assert found.reruns == {}


async def test_a_log_that_went_back_and_was_written_on(
    settings: Settings, log: Log, pool: Any
) -> None:
    """As an older copy, or a replica that lagged: two histories, of which one was archived."""
    async with projecting(settings):
        old = await submit(log, 10)
        await archived(log, pool)
    dump = await _copy(log)
    async with projecting(settings):
        assert await succeed(log, (await log.queue.claim("w", 4)).leases) == [True] * 4
        newer = await submit(log, 3)
        seq = await archived(log, pool)
    await _bring_back(log, dump)
    again = (await log.queue.claim("x", 6)).leases
    await succeed(log, again)
    fresh = await submit(log, 2)
    async with projecting(settings):
        assert "gone back" in await halted(log)
    report = await restored(settings)
    assert report.archived == f"default:1:{seq}"
    # Four ran a second time; two ran only in the history that was not archived, and stay done.
    assert {one.job for one in report.dropped if one.job} == set(old[:4])
    assert set(report.jobs.salvaged) == {*old[4:6], *fresh}
    async with projecting(settings):
        assert set(await drain(log)) == {*old[6:], *newer, *fresh}
        await archived(log, pool)
    found = await check(
        settings.redis_url, ["default"], acknowledged=old + newer + fresh, drained=True,
        dsn=settings.postgres_dsn,
    )  # fmt: skip
    found.require()
    assert found.reruns == {}


async def _copy(log: Log) -> dict[bytes, tuple[bytes, int]]:
    return {key: await log.redis.dump(key) async for key in log.redis.scan_iter()}


async def _bring_back(log: Log, dump: Any) -> None:
    await log.redis.flushall()
    for key, value in dump.items():
        await log.redis.restore(key, 0, value)


async def test_a_log_that_is_fine_is_left_alone(settings: Settings, log: Log, pool: Any) -> None:
    async with projecting(settings):
        await submit(log, 3)
        await archived(log, pool)
    await submit(log, 3)
    found = await run(settings)
    assert (found.fine, found.partitions, found.gaps) == (["default"], [], [])
    assert len(await drain(log)) == 6


class _Killed(Exception):
    pass


@pytest.mark.parametrize("step", ["set_aside", "begin", "make", "put_settings", "end"])
async def test_interrupted_it_is_run_again(
    settings: Settings, log: Log, pool: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from millstream.core.restoring import PartitionRestore

    async with projecting(settings):
        first = await submit(log, 5)
        running = (await log.queue.claim("w", 2)).leases
        await archived(log, pool)
    second = await submit(log, 5)
    await log.redis.delete(log.keys.meta("default"))
    real = getattr(PartitionRestore, step)

    async def dies(self: PartitionRestore, *args: Any) -> Any:
        await real(self, *args)
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(PartitionRestore, step, dies)
        with pytest.raises(_Killed):
            await run(settings)
    if step != "end":
        with pytest.raises(LogLost):
            await submit(log, 1)
    found = await run(settings)
    assert found.fine == (["default"] if step == "end" else [])
    async with projecting(settings):
        await until(lambda: _at_epoch_of(log, pool))
        assert set(await drain(log)) == {*first, *second}
        await archived(log, pool)
    assert not any(await succeed(log, running)), "leases from before are refused"
    report = await check(
        settings.redis_url, ["default"], acknowledged=first + second, drained=True,
        dsn=settings.postgres_dsn,
    )  # fmt: skip
    report.require()
    assert set(report.reruns) == {one.id for one in running}


async def _at_epoch_of(log: Log, pool: Any) -> bool:
    head = await LogReader(log.redis, log.keys).head("default")
    return head.epoch == await pool.fetchval("SELECT epoch FROM checkpoints")


async def test_lost_twice(settings: Settings, log: Log, pool: Any) -> None:
    async with projecting(settings):
        jobs = await submit(log, 5)
        await archived(log, pool)
        for _ in range(2):
            await log.redis.flushall()
            await halted(log)
            await run(settings)
            jobs += await submit(log, 2)
            await archived(log, pool)
        assert set(await drain(log)) == set(jobs)
        await archived(log, pool)
    report = await check(
        settings.redis_url, ["default"], acknowledged=jobs, drained=True, dsn=settings.postgres_dsn
    )
    report.require()
    assert await pool.fetchval("SELECT epoch FROM checkpoints") == 3


async def test_who_submitted_before_notices_by_itself(
    settings: Settings, log: Log, pool: Any
) -> None:
    """No projector runs: the first submission after the loss halts the queue."""
    async with projecting(settings):
        queue = log.queue
        first, more = list(new_ids(log.partition, 5)), list(new_ids(log.partition, 2))
        spec = ev.JobSubmitted("t")
        await queue.submit([new_job(job, spec) for job in first])
        await archived(log, pool)
    await log.redis.flushall()
    with pytest.raises(LogLost, match="expected a position after seq 5"):
        await queue.submit([new_job(more[0], spec)])
    with pytest.raises(LogLost):
        await queue.submit([new_job(more[1], spec)])
    report = await restored(settings)
    # It was accepted before that was noticed: whoever submitted it does not know, and it is kept.
    assert report.jobs.salvaged == more[:1]
    assert {*first, more[0]} == set(await drain(log))

"""Redis loses a queue, or goes back: it halts, says so, and is brought back from the archive."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.errors import LogLost
from millstream.core.ids import new_ids
from millstream.core.log import LogReader
from millstream.core.queue import new_job
from millstream.core.subjects import SubjectKeys, Wrapped
from millstream.projections import subject_keys
from millstream.projections.partitions import DAY_MS
from millstream.projections.retention import Policy, drop_expired
from tests.invariants import check
from tests.projections.stage import Log, projecting, until

from .lost import (
    archived,
    bring_back,
    copy,
    drain,
    halted,
    in_every_state,
    killed_restore,
    restored,
    run,
    submit,
    succeed,
)


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
    dump = await copy(log)
    async with projecting(settings):
        assert await succeed(log, (await log.queue.claim("w", 4)).leases) == [True] * 4
        newer = await submit(log, 3)
        seq = await archived(log, pool)
    await bring_back(log, dump)
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


async def test_a_log_that_went_back_by_a_clock_that_is_behind(
    settings: Settings, log: Log, pool: Any
) -> None:
    """Its own events come before the last one that was archived; the next goes on after it."""
    async with projecting(settings):
        await submit(log, 3)
        await archived(log, pool)
        dump = await copy(log)
        last = await LogReader(log.redis, log.keys).last("default")
        assert last is not None
        ahead = f"{int(last.entry.split('-')[0]) + 60_000}-0"
        await log.redis.execute_command("XSETID", log.keys.log("default"), ahead)
        await submit(log, 2)
        seq = await archived(log, pool)
    await bring_back(log, dump)
    await submit(log, 2)
    ahead = f"{int(ahead.split('-')[0]) + 60_000}-0"
    await log.redis.execute_command("XSETID", log.keys.log("default"), ahead)
    await submit(log, 1)
    async with projecting(settings):
        assert "gone back" in await halted(log)
    assert (await restored(settings)).archived == f"default:1:{seq}"


async def test_what_retention_dropped_is_not_brought_back(
    settings: Settings, log: Log, pool: Any
) -> None:
    """The older copy of Redis has jobs that are long over, as if they were still to be done."""
    async with projecting(settings):
        old = await submit(log, 5)
        await archived(log, pool)
        dump = await copy(log)
        assert await drain(log) == old
        await archived(log, pool)
    month, later = Policy({"*": 30.0}), round(time.time() * 1000) + 40 * DAY_MS
    assert (await drop_expired(settings.postgres_dsn, month, later)).jobs == 5
    assert await pool.fetchval("SELECT count(*) FROM job_events") == 0
    await bring_back(log, dump)
    again = await submit(log, 2)
    report = await restored(settings)
    assert (report.salvaged, report.dropped, report.jobs.salvaged) == (2, [], again)
    assert await drain(log) == again


async def test_a_log_that_is_fine_is_left_alone(settings: Settings, log: Log, pool: Any) -> None:
    async with projecting(settings):
        await submit(log, 3)
        await archived(log, pool)
    await submit(log, 3)
    found = await run(settings)
    assert (found.fine, found.partitions, found.gaps) == (["default"], [], [])
    assert len(await drain(log)) == 6


@pytest.mark.parametrize(
    "point",
    ["after condemn", "after set_aside", "after begin", "after make", "after put_settings",
     "before end", "after end"],
)  # fmt: skip
async def test_killed_it_is_run_again(settings: Settings, log: Log, pool: Any, point: str) -> None:
    async with projecting(settings):
        first = await submit(log, 5)
        running = (await log.queue.claim("w", 2)).leases
        await archived(log, pool)
    second = await submit(log, 5)
    await log.redis.delete(log.keys.meta("default"))
    await killed_restore(settings, point)
    if point != "after end":
        with pytest.raises(LogLost):
            await submit(log, 1)
    found = await run(settings)
    assert found.fine == (["default"] if point == "after end" else [])
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
    loss = await pool.fetchrow("SELECT * FROM log_losses")
    assert loss["restored_at"] is not None
    assert {one.id for one in running} == set(json.loads(loss["report"])["jobs"]["released"])


async def test_what_is_unrecoverable_is_known_after_a_kill(
    settings: Settings, log: Log, pool: Any
) -> None:
    """The first try halts the queue; the second must still know how far it was."""
    async with projecting(settings):
        await submit(log, 5)
        await archived(log, pool)
    await submit(log, 3)
    await log.redis.delete(log.keys.log("default"))
    await killed_restore(settings, "after condemn")
    report = await restored(settings)
    assert [(one.first, one.last) for one in report.unrecoverable] == [
        ("default:1:6", "default:1:8")
    ]


async def test_keys_of_subjects_are_there_when_a_queue_opens(
    settings: Settings, log: Log, pool: Any
) -> None:
    """So that a restore killed right then has left nothing undone."""
    kept, gone = Wrapped("anna", "1", b"wrapped"), Wrapped("ben", "2", b"wrapped")
    await subject_keys.add(pool, [kept, gone])
    await subject_keys.erase(pool, "ben", "ada", "asked to")
    async with projecting(settings):
        await submit(log, 1)
        await archived(log, pool)
    await log.redis.flushall()
    await killed_restore(settings, "after end")
    found = SubjectKeys(log.redis, log.keys)
    assert await found.of(["anna", "ben"]) == {"anna": kept}
    assert await found.get(["1", "2"]) == {"1": b"wrapped", "2": "erased"}


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

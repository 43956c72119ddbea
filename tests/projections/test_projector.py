"""The projector on real servers: many at once, gaps, poison, trimming."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.errors import LogLost
from millstream.core.ids import new_ids
from millstream.core.log import LogReader
from millstream.core.queue import new_job
from millstream.projections import projector, service
from tests.audits.tables import read_stored
from tests.projections.stage import (
    Log,
    all_records,
    life,
    projecting,
    require_fold,
    until,
    until_seq,
    work,
)

SUBMITTED, STARTED = ev.JobSubmitted("t", payload=wrap(1)), ev.JobStarted(1, "w")
DONE = ev.JobSucceeded(wrap("ok"))


async def test_projects_what_workers_do(settings: Settings, log: Log, pool: Any) -> None:
    small = msgspec.structs.replace(settings, projector_batch=100)
    async with projecting(small):
        await work(log, 400)
        records = await all_records(log)
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


async def test_several_projectors_at_once_count_each_event_once(
    settings: Settings, log: Log, pool: Any
) -> None:
    small = msgspec.structs.replace(settings, projector_batch=37)
    other = Log(log.redis, "other")
    async with projecting(small, count=3):
        await asyncio.gather(work(log, 300), work(other, 200))
        for each in (log, other):
            await until_seq(pool, len(await all_records(each)), each.partition)
    for each in (log, other):
        records = await all_records(each)
        await require_fold(settings.postgres_dsn, records, each.partition)


async def test_an_event_wakes_the_projector(
    settings: Settings, log: Log, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await work(log, 1)
    monkeypatch.setattr(service, "BLOCK_MS", 600_000)
    monkeypatch.setattr(projector, "BLOCK_MS", 600_000)
    async with projecting(settings):
        await until_seq(pool, 1)
        for seq in range(2, 22):  # a read that nothing wakes would end when the test has failed
            await work(log, 1)
            await until_seq(pool, seq)
        monkeypatch.setattr(projector, "BLOCK_MS", 50)
        await work(log, 1)  # the last of the long reads ends


async def test_a_gap_halts_that_partition_only_until_it_is_mended(
    settings: Settings, log: Log, pool: Any
) -> None:
    records = life(1, SUBMITTED, STARTED, DONE)
    other = Log(log.redis, "other")
    async with projecting(settings):
        await log.append(records[0])
        await until_seq(pool, 1)
        await log.append(records[2])
        await other.append(*life(2, SUBMITTED, partition="other"))
        await until_seq(pool, 1, "other")
        reason = await until(lambda: halted(pool))
        assert reason == "log of default: expected seq 2, got: seq 3"
        await log.redis.delete(log.keys.log("default"))
        await log.append(*records)
        await until_seq(pool, 3)
    assert await halted(pool) is None
    await require_fold(settings.postgres_dsn, records)


async def halted(pool: Any) -> str | None:
    return await pool.fetchval("SELECT halted FROM checkpoints WHERE partition = 'default'")


async def test_a_log_that_went_back_halts(settings: Settings, log: Log, pool: Any) -> None:
    records = life(1, SUBMITTED, STARTED, DONE)
    async with projecting(settings):
        await log.append(*records)
        await until_seq(pool, 3)
        await log.redis.delete(log.keys.log("default"))
        await log.append(*records[:2])
        reason = await until(lambda: halted(pool))
        assert "expected at least seq 3 of epoch 1, got: seq 2" in reason
        with pytest.raises(LogLost, match="gone back"):
            await log.queue.claim("w", 1)


async def test_a_missing_end_halts(settings: Settings, log: Log, pool: Any) -> None:
    records = life(1, SUBMITTED, STARTED, DONE)
    async with projecting(settings):
        await log.append(*records[:2])
        await until_seq(pool, 2)
        await log.redis.hset(log.keys.meta("default"), "seq", 3)
        assert "got: the end of the log" in await until(lambda: halted(pool))


async def test_another_epoch_halts(settings: Settings, log: Log, pool: Any) -> None:
    records = life(1, SUBMITTED, STARTED)
    async with projecting(settings):
        await log.append(records[0])
        await until_seq(pool, 1)
        await log.append(msgspec.structs.replace(records[1], epoch=2))
        assert "expected epoch 1, got: epoch 2" in await until(lambda: halted(pool))


async def test_an_event_that_cannot_be_applied_parks_its_job_only(
    settings: Settings, log: Log, pool: Any
) -> None:
    records = [*life(1, SUBMITTED, STARTED, DONE), *life(2, SUBMITTED, seq=4)]
    records[1] = msgspec.structs.replace(records[1], type="job.teleported")
    late = msgspec.structs.replace(life(1, SUBMITTED, STARTED, seq=4)[1], version=4)
    async with projecting(settings):
        await log.append(*records)
        await until_seq(pool, 4)
        await log.append(late)
        await until_seq(pool, 5)
    async with projecting(settings):  # who is parked is known after a restart, too
        records += [late, msgspec.structs.replace(late, seq=6, version=5, entry=f"{late.time}-6")]
        await log.append(records[-1])
        await until_seq(pool, 6)
    stored = await require_fold(settings.postgres_dsn, records)
    assert len(stored.parked) == 4


async def test_an_event_the_database_does_not_take_is_found_and_parked(
    settings: Settings, log: Log, pool: Any
) -> None:
    lives = [life(n, SUBMITTED, STARTED, seq=2 * n - 1) for n in range(1, 31)]
    lives[16] = life(17, ev.JobSubmitted("t", priority=10**6), STARTED, seq=33)
    lives[20] = life(21, ev.JobSubmitted("t", payload=wrap(1), tags=["a\0b"]), STARTED, seq=41)
    records = [record for each in lives for record in each]
    # The same id again: to begin a job that is there cannot be stored either.
    records += [msgspec.structs.replace(record, seq=61) for record in life(1, SUBMITTED)]
    async with projecting(settings):
        await log.append(*records[:-1])
        await until_seq(pool, 60)
        await log.append(msgspec.structs.replace(records[-1], entry=f"{records[-2].time}-99"))
        await until_seq(pool, 61)
    stored = await read_stored(settings.postgres_dsn, ["default"])
    assert [record.seq for record in stored.archive] == list(range(1, 62))
    assert stored.archive[:60] == records[:60], "kept to the byte, also what fits no column"
    assert {place[2] for place in stored.parked} == {33, 34, 41, 42, 61}
    assert len(stored.jobs) == 28


async def test_trims_behind_the_archive_but_keeps_the_margin(
    settings: Settings, log: Log, pool: Any
) -> None:
    tight = msgspec.structs.replace(settings, log_margin=300, projector_batch=50)
    reader = LogReader(log.redis, log.keys)
    await work(log, 1000)
    seq = (await reader.head("default")).seq
    async with projecting(tight):
        await until(lambda: is_archived(reader, seq))
    first = (await reader.range("default", count=1))[0].seq
    # Redis cuts off whole nodes only, of a hundred entries.
    assert seq - 300 - 200 < first <= seq - 300 + 1


async def test_started_again_it_knows_from_the_archive_where_to_cut(
    settings: Settings, log: Log, pool: Any
) -> None:
    reader = LogReader(log.redis, log.keys)
    await work(log, 1000)
    seq = (await reader.head("default")).seq
    async with projecting(settings):
        await until(lambda: is_archived(reader, seq))
    assert (await reader.range("default", count=1))[0].seq == 1
    async with projecting(msgspec.structs.replace(settings, log_margin=300)):
        await log.queue.submit([new_job(job, SUBMITTED) for job in new_ids("default", 1)])
        await until(lambda: is_archived(reader, seq + 1))
    assert seq - 300 - 200 < (await reader.range("default", count=1))[0].seq <= seq - 300 + 1


async def is_archived(reader: LogReader, seq: int) -> bool:
    return (await reader.head("default")).archived == seq

"""The projector on real servers: many at once, gaps, poison, kills, outages, trimming."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import config
from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.events import JobSubmitted, Record
from millstream.core.ids import new_ids
from millstream.core.log import LogReader
from millstream.core.queue import Finish, new_job
from millstream.projections import queries
from tests.audits.tables import read_stored
from tests.projections.stage import Log, life, open_log, projecting, require_fold, until, until_seq

SUBMITTED, STARTED = ev.JobSubmitted("t", wrap(1)), ev.JobStarted(1, "w")
DONE = ev.JobSucceeded(wrap("ok"))


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[Log]:
    async with open_log(settings) as log:
        yield log


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    pool = await queries.connect(settings)
    yield pool
    await pool.close()


async def work(log: Log, jobs: int, *, at_once: int = 50) -> None:
    """Submit, claim and finish jobs as workers do: some fail, some stay queued."""
    await log.redis.sadd(log.keys.queues, log.partition)
    spec = JobSubmitted("t", wrap({"n": 1}))
    await log.queue.submit([new_job(job, spec) for job in new_ids(log.partition, jobs)])
    for _ in range(0, jobs - at_once, at_once):
        leases = (await log.queue.claim("w", at_once)).leases
        done = ev.body_of(DONE)
        fault = ev.body_of(ev.JobAttemptFailed(ev.Fault("E", "no"), 10**6))
        await log.queue.finish(
            [
                Finish(lease.id, lease.fence, "retry", fault, 10**6)
                if index % 5 == 0
                else Finish(lease.id, lease.fence, "succeeded", done)
                for index, lease in enumerate(leases)
            ]
        )


async def all_records(log: Log) -> list[Record]:
    return await LogReader(log.redis, log.keys).range(log.partition, count=100_000)


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


async def test_an_event_is_in_the_tables_at_once(settings: Settings, log: Log, pool: Any) -> None:
    async with projecting(settings):
        await work(log, 1)
        await until_seq(pool, 1)
        took: list[float] = []
        for seq in range(2, 22):
            began = asyncio.get_running_loop().time()
            await work(log, 1)
            await until_seq(pool, seq)
            took.append(asyncio.get_running_loop().time() - began)
    # Far below the 250 ms a read blocks: it is the event that wakes it.
    assert sorted(took)[len(took) // 2] < 0.1


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
        assert "expected at least seq 3, got: 2" in await until(lambda: halted(pool))


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
    lives[20] = life(21, ev.JobSubmitted("t", wrap(1), tags=["a\0b"]), STARTED, seq=41)
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


async def test_killed_before_the_commit_leaves_nothing_half_done(
    settings: Settings, log: Log, pool: Any
) -> None:
    await work(log, 200)
    records = await all_records(log)
    async with stuck_at_the_counters(pool) as reached:
        process = await start_projector(settings)
        await reached()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        stored = await read_stored(settings.postgres_dsn, ["default"])
        assert stored.archive == []
        assert stored.jobs == {}
    async with projecting(settings):
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


async def test_sigterm_ends_after_the_batch_under_way(
    settings: Settings, log: Log, pool: Any
) -> None:
    await work(log, 200)
    async with stuck_at_the_counters(pool) as reached:
        process = await start_projector(settings)
        await reached()
        process.terminate()
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    seq = await pool.fetchval("SELECT seq FROM checkpoints")
    assert seq > 0
    await require_fold(settings.postgres_dsn, (await all_records(log))[:seq])


async def start_projector(settings: Settings) -> asyncio.subprocess.Process:
    code = "from millstream.core import config; from millstream.projections.service import serve;"
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code + "serve(config.load())"),
        env=environ | config.as_environ(settings),
    )


@asynccontextmanager
async def stuck_at_the_counters(pool: Any) -> AsyncGenerator[Any]:
    """Meanwhile a transaction of the projector waits between its COPYs and its commit."""
    await pool.execute(
        "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;"
        "CREATE TRIGGER wait_here BEFORE INSERT ON job_counts EXECUTE FUNCTION wait_here()"
    )

    async def waits() -> bool:
        found = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"
        return bool(await pool.fetchval(found))

    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT pg_advisory_xact_lock(42)")
        yield lambda: until(waits)
    await pool.execute("DROP FUNCTION wait_here CASCADE")


async def test_goes_on_when_postgres_is_back(
    settings: Settings, log: Log, pool: Any, postgres_server: Postgres
) -> None:
    async with projecting(settings):
        await work(log, 100)
        await until_seq(pool, len(await all_records(log)))
        postgres_server.kill()
        await work(log, 100)
        await asyncio.to_thread(postgres_server.start)
        records = await all_records(log)
        await until(lambda: seq_is(settings, len(records)))
    await require_fold(settings.postgres_dsn, records)


async def seq_is(settings: Settings, seq: int) -> bool:
    try:
        connection = await asyncpg.connect(settings.postgres_dsn)
    except (OSError, asyncpg.PostgresError):
        return False
    found = await connection.fetchval("SELECT seq FROM checkpoints")
    await connection.close()
    return found == seq


async def test_goes_on_when_redis_is_back(
    settings: Settings, log: Log, pool: Any, valkey_server: Valkey
) -> None:
    async with projecting(settings):
        await work(log, 100)
        await until_seq(pool, len(await all_records(log)))
        await log.redis.execute_command("WAITAOF", 1, 0, 5000)
        valkey_server.kill()
        await asyncio.to_thread(valkey_server.start)
        await until(lambda: answers(log))
        await work(log, 100)
        records = await all_records(log)
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


async def answers(log: Log) -> bool:
    try:
        return bool(await log.redis.ping())
    except Exception:
        return False


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

"""The projector and its servers killed at the worst moments: nothing half done, nothing doubled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from tests.audits.tables import read_stored
from tests.projections.stage import (
    Log,
    all_records,
    projecting,
    require_fold,
    until,
    until_seq,
    work,
)


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
    async with asyncio.timeout(60):
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

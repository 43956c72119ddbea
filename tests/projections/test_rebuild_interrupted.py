"""A rebuild that is killed, held up, given up, or met by another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.projections.rebuild.course import Busy, Differs, take_lock
from millstream.projections.rebuild.shard import hands, stage
from millstream.projections.rebuild.source import Share
from millstream.projections.rebuild.upkeep import drop
from tests.projections.stage import (
    Log,
    require_fold,
    until,
)

from .rebuilding import projected, rebuild


async def test_two_rebuilds_do_not_run_at_once(settings: Settings, log: Log, pool: Any) -> None:
    async with hands(settings.postgres_dsn) as found:
        await take_lock(found.keeper, found.shadow)
        with pytest.raises(Busy):
            await rebuild(settings)
    await rebuild(settings)


async def test_goes_on_with_the_stride_it_was_in(settings: Settings, log: Log, pool: Any) -> None:
    records = await projected(settings, log, pool)
    async with hands(settings.postgres_dsn) as found:
        await found.shadow.create(found.reader, 1)
        await stage(found.writer)
        strides = found.strides("default", Share())
        await strides.open()
        await strides.run(350, stride=100)
        assert strides.seq == 350
        again = found.strides("default", Share())
        await again.open()
        assert again.seq == 350
    steps = await rebuild(settings, processes=2)
    assert (steps[0].resumed, steps[0].events, steps[0].total) == (True, 350, len(records))
    assert steps[-1].comparison is not None
    assert steps[-1].comparison.different == 0
    await require_fold(settings.postgres_dsn, records)


async def test_an_unfinished_rebuild_can_be_given_up(
    settings: Settings, log: Log, pool: Any
) -> None:
    records = await projected(settings, log, pool, 60)
    await pool.execute("UPDATE jobs SET worker = 'who'")
    with pytest.raises(Differs):
        await rebuild(settings)
    assert await drop(settings, old=False) == "dropped the unfinished rebuild"
    assert await drop(settings, old=False) == "there is no unfinished rebuild"
    await rebuild(settings, accept=True)
    await require_fold(settings.postgres_dsn, records)


KILLED_AT = ["fold", "index", "catch_up", "compare", "swap"]


@pytest.mark.parametrize("phase", KILLED_AT)
async def test_killed_it_goes_on(settings: Settings, log: Log, pool: Any, phase: str) -> None:
    records = await projected(settings, log, pool)
    async with _held_up(pool):
        process = await _start(settings)
        assert process.stdout is not None
        async for line in process.stdout:
            if msgspec.json.decode(line)["phase"] == phase:
                break
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 300, "the old tables serve"
    await until(lambda: _nobody_rebuilds(pool))
    process = await _start(settings)
    output, _ = await process.communicate()
    assert process.returncode == 0
    lines = [msgspec.json.decode(line) for line in output.splitlines()]
    assert lines[0]["resumed"]
    assert lines[-1]["phase"] == "done"
    assert lines[-1]["comparison"]["different"] == 0
    await require_fold(settings.postgres_dsn, records)


@contextlib.asynccontextmanager
async def _held_up(pool: Any) -> AsyncGenerator[None]:
    """Meanwhile a swap waits with its lock on the checkpoints asked for: no rebuild ends."""
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")
        yield


async def _nobody_rebuilds(pool: Any) -> bool:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millstream rebuild'" \
          " AND datname = current_database()"  # fmt: skip
    return await pool.fetchval(sql) == 0


async def _start(settings: Settings) -> asyncio.subprocess.Process:
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "millstream.cli", "rebuild"),
        env=environ | config.as_environ(settings),
        stdout=asyncio.subprocess.PIPE,
    )

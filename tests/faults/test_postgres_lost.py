"""PostgreSQL is lost, or restored from an older copy: what the logs and exports hold comes back,
and what nothing holds is declared and shown."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.errors import LogGap
from millstream.core.events import Command, Record
from millstream.projections import queries
from millstream.projections.migrations import migrate
from millstream.projections.rebuild.course import Course
from millstream.projections.restore.course import restore
from millstream.projections.restore.imports import Importer, ImportUnfit, line_of, read_lines
from tests.invariants import check
from tests.projections.stage import (
    Log,
    all_records,
    open_log,
    projecting,
    require_fold,
    until,
    until_seq,
    work,
)

BY = Command("ada", "a new disk")


@pytest.fixture
async def log(settings: Settings) -> Any:
    async with open_log(settings) as log:
        yield log


@pytest.fixture
async def pool(settings: Settings) -> Any:
    pool = await queries.connect(settings)
    yield pool
    await pool.close()


async def cut_off(log: Log, seq: int) -> None:
    """Trim the log as a projector with a short margin does."""
    records = await all_records(log)
    first = next(record for record in records if record.seq == seq)
    await log.redis.xtrim(log.keys.log(log.partition), minid=first.entry, approximate=False)


async def halted(pool: Any) -> str | None:
    return await pool.fetchval("SELECT halted FROM checkpoints")


def export(records: list[Record], path: Path) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(line_of(one)) + b"\n" for one in records))
    return path


async def test_a_new_database_is_filled_from_the_log(
    settings: Settings, log: Log, pool: Any
) -> None:
    await work(log, 100)
    records = await all_records(log)
    async with projecting(settings):
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


async def test_what_the_log_has_no_more_comes_from_an_export(
    settings: Settings, log: Log, pool: Any, tmp_path: Path
) -> None:
    await work(log, 100)
    records = await all_records(log)
    half = len(records) // 2
    await cut_off(log, half + 1)
    async with projecting(settings):
        reason = await until(lambda: halted(pool))
        assert reason == f"log of default: expected seq 1, got: seq {half + 1}"
    found = await restore(settings, by=BY, dry_run=False)
    (gap,) = found.gaps
    assert (gap.first, gap.last, found.declared) == ("default:1:1", f"default:1:{half}", False)
    importer = Importer(settings.postgres_dsn)
    try:
        parts = export(records[: half // 2], tmp_path / "a"), export(records[:half], tmp_path / "b")
        assert await importer.take(read_lines(parts[0])) == half // 2
        assert await importer.take(read_lines(parts[1])) == half - half // 2
        assert await importer.take(read_lines(parts[1])) == 0
        with pytest.raises(LogGap):
            await importer.take(records[half + 5 :])
    finally:
        importer.close()
    async with projecting(settings):
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()


async def test_a_damaged_export_is_refused(
    settings: Settings, log: Log, pool: Any, tmp_path: Path
) -> None:
    await work(log, 60)
    records = await all_records(log)
    file = tmp_path / "a.jsonl"
    file.write_bytes(msgspec.json.encode(line_of(records[0])) + b"\nno json\n")
    importer = Importer(settings.postgres_dsn)
    try:
        with pytest.raises(ImportUnfit, match=r"a\.jsonl, line 2: expected an event"):
            await importer.take(read_lines(file))
        wrong = msgspec.structs.replace(records[0], epoch=2)
        await importer.take([wrong])
        with pytest.raises(ImportUnfit, match="expected events of epoch 2"):
            await importer.take(records[1:2])
    finally:
        importer.close()


async def test_what_nothing_has_is_declared_and_shown(
    settings: Settings, log: Log, pool: Any
) -> None:
    await work(log, 100)
    records = await all_records(log)
    await cut_off(log, 51)
    async with projecting(settings):
        await until(lambda: halted(pool))
        found = await restore(settings, by=BY, dry_run=False, declare_gaps=True)
        assert found.declared
        await until_seq(pool, len(records))
    row = await pool.fetchrow("SELECT * FROM log_gaps")
    assert (row["first"], row["last"], row["actor"]) == (1, 50, "ada")
    known = {record.job for record in records[:50]}
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 100 - len(known)
    parked = await pool.fetch("SELECT DISTINCT job FROM parked_events")
    assert {row["job"].decode() for row in parked} <= known, "seen, though not applied"
    steps: list[Any] = []
    await Course(settings, steps.append, processes=1, accept=False).run()
    assert steps[-1].comparison.different == 0, "a rebuild knows the gap, too"


async def test_an_older_copy_catches_up_or_halts(settings: Settings, tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "pg")
    postgres.start()
    postgres.pin_port()
    try:
        await migrate(postgres.dsn)
        ours = msgspec.structs.replace(settings, postgres_dsn=postgres.dsn)
        async with open_log(ours) as log:
            await _older_copies(ours, log, postgres, tmp_path / "copy")
    finally:
        postgres.stop()


async def _older_copies(settings: Settings, log: Log, postgres: Postgres, copy: Path) -> None:
    await work(log, 100)
    await _projected(settings, log)
    postgres.stop()
    _copy(postgres.data, copy)
    postgres.start()
    await work(log, 100)
    await _projected(settings, log)
    await _put_back(postgres, copy)
    await _projected(settings, log)
    await require_fold(settings.postgres_dsn, await all_records(log))
    # Once more, but the log was trimmed meanwhile.
    end = len(await all_records(log))
    await cut_off(log, end)
    await _put_back(postgres, copy)
    connection = await asyncpg.connect(settings.postgres_dsn)
    try:
        async with projecting(settings):
            reason = await until(lambda: halted(connection))
        assert f"got: seq {end}" in reason
    finally:
        await connection.close()
    await log.queue.submit([])
    assert (await log.queue.claim("w", 1)).leases, "work goes on"


def _copy(source: Path, target: Path) -> None:
    """With owners and modes: the server may run as another user."""
    subprocess.run(["cp", "-a", source, target], check=True)


async def _put_back(postgres: Postgres, copy: Path) -> None:
    postgres.stop()
    shutil.rmtree(postgres.data)
    _copy(copy, postgres.data)
    postgres.start()


async def _projected(settings: Settings, log: Log) -> None:
    pool = await queries.connect(settings)
    try:
        async with projecting(settings):
            await until_seq(pool, (await all_records(log))[-1].seq)
    finally:
        await pool.close()


async def test_the_events_of_two_epochs_are_imported(
    settings: Settings, log: Log, pool: Any
) -> None:
    async with projecting(settings):
        await work(log, 60)
        first = await all_records(log)
        await until_seq(pool, len(first))
        await log.redis.flushall()
        await until(lambda: _lost(log))
        await restore(settings, by=BY, dry_run=False)
        second = await all_records(log)
        await until_seq(pool, second[-1].seq)
    assert second[0].type == ev.QueueRestored.name
    await pool.execute("TRUNCATE checkpoints, job_counts, job_minutes, job_minute_durations,"
                       " job_durations, dead_letters, parked_events")  # fmt: skip
    for table in ("jobs", "job_events"):
        for row in await pool.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
            " WHERE inhparent = $1::regclass", table
        ):  # fmt: skip
            await pool.execute(f"DROP TABLE {row['name']}")
    importer = Importer(settings.postgres_dsn)
    try:
        assert await importer.take([*first, *second]) == len(first) + len(second)
    finally:
        importer.close()
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()


async def _lost(log: Log) -> bool:
    return await log.redis.hget(log.keys.meta("default"), "mode") == b"lost"

"""PostgreSQL is lost, or restored from an older copy: what the logs and exports hold comes back,
and what nothing holds is declared and shown."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.events import Command
from millstream.core.export import ExportDamaged, Span
from millstream.core.log import LogReader
from millstream.projections import queries
from millstream.projections.exporting import Exporter
from millstream.projections.migrations import migrate
from millstream.projections.rebuild.course import Course
from millstream.projections.rebuild.shadow import KEPT, TABLES
from millstream.projections.restore.course import restore
from millstream.projections.restore.imports import Importer, ImportUnfit
from millstream.projections.retention import drop_expired
from millstream.projections.verify.report import Plan
from millstream.projections.verify.verifying import verify
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
from tests.projections.test_rebuild_retention import rows_of, some_months
from tests.projections.test_retention import MONTH, Past30, at_day

BY = Command("ada", "a new disk")


async def cut_off(log: Log, seq: int) -> None:
    """Trim the log as a projector with a short margin does."""
    records = await all_records(log)
    first = next(record for record in records if record.seq == seq)
    await log.redis.xtrim(log.keys.log(log.partition), minid=first.entry, approximate=False)


async def halted(pool: Any) -> str | None:
    return await pool.fetchval("SELECT halted FROM checkpoints")


async def export(log: Log, pool: Any, folder: Path, *, part: int = 50) -> Path:
    """An export of all there is, as `millstream events export` makes it."""
    exporter = Exporter(pool, LogReader(log.redis, log.keys), folder, part_events=part)
    await exporter.run(await exporter.open("jsonl", "ms", Span(), [log.partition]))
    return folder


async def test_a_new_database_is_filled_from_the_log(
    settings: Settings, log: Log, pool: Any
) -> None:
    await work(log, 100)
    records = await all_records(log)
    async with projecting(settings):
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


@pytest.fixture
def importer(settings: Settings) -> Iterator[Importer]:
    importer = Importer(settings.postgres_dsn)
    yield importer
    importer.close()


async def test_what_the_log_has_no_more_comes_from_an_export(
    settings: Settings, log: Log, pool: Any, importer: Importer, tmp_path: Path
) -> None:
    await work(log, 60)
    first = await export(log, pool, tmp_path / "a")
    half = len(await all_records(log))
    await work(log, 60)
    records = await all_records(log)
    second = await export(log, pool, tmp_path / "b")
    await cut_off(log, half + 11)
    async with projecting(settings):
        reason = await until(lambda: halted(pool))
        assert reason == f"log of default: expected seq 1, got: seq {half + 11}"
    found = await restore(settings, by=BY, dry_run=False)
    (gap,) = found.gaps
    assert (gap.first, gap.last) == ("default:1:1", f"default:1:{half + 10}")
    assert not found.declared
    assert await importer.take_export(first) == half
    seen: list[int] = []
    assert await importer.take_export(first, seen=seen.append) == 0
    assert sum(seen) == half, "it is told how far it is, also of what was there"
    with pytest.raises(ImportUnfit, match=f"expected seq {half + 1}, .* got seq {half + 6}"):
        await importer.take(records[half + 5 :])
    assert await importer.take_export(second) == len(records) - half
    async with projecting(settings):
        await work(log, 60)
        known = {record.seq: record for record in (*records, *await all_records(log))}
        records = [known[seq] for seq in sorted(known)]
        await until_seq(pool, len(records))
    stored = await require_fold(settings.postgres_dsn, records)
    assert stored.snapshots, "counts were noted, so that those of any instant are soon told"
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()


async def test_a_damaged_export_is_refused(
    log: Log, pool: Any, importer: Importer, tmp_path: Path
) -> None:
    await work(log, 60)
    records = await all_records(log)
    folder = await export(log, pool, tmp_path / "a", part=20)
    file = folder / "default.000002.jsonl"
    file.write_bytes(file.read_bytes().replace(b"job.", b"jib.", 1))
    with pytest.raises(ExportDamaged, match=r"default\.000002\.jsonl: expected sha256"):
        await importer.take_export(folder)
    assert await pool.fetchval("SELECT count(*) FROM job_events") == 0
    with pytest.raises(ExportDamaged, match=r"expected a manifest\.json, got none"):
        await importer.take_export(tmp_path)
    with pytest.raises(ImportUnfit, match="expected events of epoch 2"):
        await importer.take([msgspec.structs.replace(records[0], epoch=2), records[1]])


async def test_an_export_that_begins_late_wants_a_word(
    settings: Settings, log: Log, pool: Any, importer: Importer, tmp_path: Path
) -> None:
    await work(log, 60)
    records = await all_records(log)
    await cut_off(log, 51)
    folder = await export(log, pool, tmp_path / "a")
    with pytest.raises(ImportUnfit, match=r"expected seq 1, .* got seq 51: .* --declare-gaps"):
        await importer.take_export(folder)
    declaring = Importer(settings.postgres_dsn, BY)
    assert await declaring.take_export(folder) == len(records) - 50
    declaring.close()
    row = await pool.fetchrow("SELECT * FROM log_gaps")
    assert (row["first"], row["last"], row["actor"]) == (1, 50, "ada")
    assert await pool.fetchval("SELECT count(*) FROM parked_events"), "of jobs submitted before"
    steps: list[Any] = []
    await Course(settings, steps.append, processes=1, accept=False).run()
    assert steps[-1].comparison.different == 0


async def test_what_retention_had_dropped_is_no_gap(
    settings: Settings, postgres_dsn: str, log: Log, pool: Any, tmp_path: Path
) -> None:
    past = Past30(postgres_dsn)
    await some_months(past)
    await drop_expired(past.dsn, MONTH, at_day(36))
    await log.redis.hset(log.keys.meta("default"), "seq", past.seqs["default"])
    folder = await export(log, pool, tmp_path / "a", part=5)
    told = {table: await _rows(pool, table) for table in ("jobs", "flows", "job_counts")}
    await _empty(pool)
    importer = Importer(postgres_dsn)
    assert await importer.take_export(folder)
    assert await importer.take_export(folder) == 0
    importer.close()
    assert not await pool.fetchval("SELECT count(*) FROM log_gaps")
    assert not await pool.fetchval("SELECT count(*) FROM parked_events")
    # Rows whose events are still there come back; retention drops them again.
    await drop_expired(past.dsn, MONTH, at_day(36))
    for table in ("jobs", "job_counts"):
        rows = [row for row in told[table] if "other" not in row]
        assert await _rows(pool, table) == rows
    before = await rows_of(pool)
    steps: list[Any] = []
    await Course(settings, steps.append, processes=2, accept=False).run()
    assert steps[-1].comparison.different == 0
    assert await rows_of(pool) == before


async def _rows(pool: Any, table: str) -> list[str]:
    where = "WHERE count <> 0" if table == "job_counts" else ""
    rows = await pool.fetch(f"SELECT told::text FROM {table} AS told {where} ORDER BY 1")
    return [row[0] for row in rows]


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
    outcome = await verify(settings.postgres_dsn, Plan())
    assert {name for name, count in outcome.counts.items() if count} == {"event-parked"}


async def test_an_older_copy_catches_up_or_halts(settings: Settings, folder: Path) -> None:
    postgres = Postgres(folder / "pg")
    postgres.start()
    postgres.pin_port()
    try:
        await migrate(postgres.dsn)
        ours = msgspec.structs.replace(settings, postgres_dsn=postgres.dsn)
        async with open_log(ours) as log:
            await _older_copies(ours, log, postgres, folder / "copy")
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


async def _empty(pool: Any) -> None:
    """A database as it was before anything was projected."""
    for table in ("jobs", "job_events"):
        for row in await pool.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
            " WHERE inhparent = $1::regclass", table
        ):  # fmt: skip
            await pool.execute(f"DROP TABLE {row['name']}")
    emptied = {*TABLES, *KEPT} - {"job_events", "seals", "projections", "schema_migrations"}
    await pool.execute(f"TRUNCATE {', '.join(sorted(emptied))}")


async def test_the_events_of_two_epochs_are_imported(
    settings: Settings, log: Log, pool: Any, importer: Importer
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
    await _empty(pool)
    assert await importer.take([*first, *second]) == len(first) + len(second)
    (await check(settings.redis_url, ["default"], dsn=settings.postgres_dsn)).require()


async def _lost(log: Log) -> bool:
    return await log.redis.hget(log.keys.meta("default"), "mode") == b"lost"

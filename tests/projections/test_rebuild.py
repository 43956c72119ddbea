"""Tables rebuilt beside those that serve are the same, and take their place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.errors import LogGap
from millstream.projections.rebuild.course import Course, Differs
from millstream.projections.rebuild.shadow import KEPT, TABLES, OldKept
from millstream.projections.rebuild.shard import hands, stage
from millstream.projections.rebuild.source import Share
from millstream.projections.rebuild.upkeep import drop
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
from tests.projections.test_tables import SUBMITTED, Store

from .rebuilding import projected, rebuild


@pytest.mark.parametrize("processes", [1, 3])
async def test_the_rebuilt_tables_are_the_live_ones(
    settings: Settings, log: Log, pool: Any, processes: int
) -> None:
    records = await projected(settings, log, pool)
    before = await shape(pool)
    steps = await rebuild(settings, processes=processes)
    comparison = steps[-1].comparison
    assert comparison is not None
    assert comparison.different == 0
    assert comparison.rows > 300
    assert [step.phase for step in steps if step.phase != "fold"] == [
        "index", "catch_up", "compare", "swap", "done",
    ]  # fmt: skip
    await require_fold(settings.postgres_dsn, records)
    assert await shape(pool) == before, "indexes, constraints, columns, options and grants"


async def shape(pool: Any) -> Any:
    """All that the catalog says of the tables a connection finds first."""
    tables = await pool.fetch(
        "SELECT c.relname, c.relkind, c.reloptions, pg_get_partkeydef(c.oid), c.relacl::text,"
        " pg_get_expr(c.relpartbound, c.oid), pg_get_userbyid(c.relowner),"
        " ARRAY(SELECT (attname, atttypid::regtype, attnotnull)::text FROM pg_attribute"
        "  WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum),"
        " ARRAY(SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint"
        "  WHERE conrelid = c.oid ORDER BY 1),"
        " ARRAY(SELECT CASE WHEN c.relispartition THEN '' ELSE i.indexrelid::regclass::text END"
        "  || substring(pg_get_indexdef(i.indexrelid) from 'USING.*')"
        "  FROM pg_index i WHERE indrelid = c.oid ORDER BY 1)"
        " FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace"
        " AND c.relkind IN ('r', 'p') ORDER BY 1"
    )
    return [tuple(row) for row in tables]


async def test_each_table_is_rebuilt_or_kept_for_a_reason(pool: Any) -> None:
    """A migration that adds a table must say in shadow.py which of the two it is."""
    tables = await pool.fetch(
        "SELECT relname, relhastriggers FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = current_schema()::regnamespace AND NOT relispartition"
    )
    assert {row["relname"] for row in tables} == {*TABLES, *KEPT}
    assert not set(TABLES) & KEPT.keys()
    assert all(KEPT.values())
    with_triggers = {row["relname"] for row in tables if row["relhastriggers"]}
    assert not with_triggers & set(TABLES), "LIKE copies none"


async def test_grants_come_along(settings: Settings, log: Log, pool: Any) -> None:
    await projected(settings, log, pool, 60)
    await pool.execute("GRANT SELECT ON jobs TO PUBLIC")
    before = await shape(pool)
    await rebuild(settings)
    assert await shape(pool) == before


async def test_while_all_goes_on_nothing_is_missed(settings: Settings, log: Log, pool: Any) -> None:
    busy = True

    async def keep_working() -> None:
        while busy:
            await work(log, 100)
            await asyncio.sleep(0.05)  # the test reads all of it again

    async with projecting(settings, 2):
        working = asyncio.create_task(keep_working())
        try:
            for _ in range(3):
                await rebuild(settings, processes=2)
                await drop(settings, old=True)
        finally:
            busy = False
            await working
        records = await all_records(log)
        await until_seq(pool, len(records))
    await require_fold(settings.postgres_dsn, records)


async def test_a_reader_in_the_way_of_the_swap_is_waited_for(
    settings: Settings, log: Log, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await projected(settings, log, pool, 60)
    monkeypatch.setattr("millstream.projections.rebuild.course.LOCK_PATIENCE", "10ms")
    phases: list[str] = []
    async with pool.acquire() as reader:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT count(*) FROM jobs")
        course = Course(settings, lambda step: phases.append(step.phase), processes=1, accept=False)
        running = asyncio.create_task(course.run())
        await until(lambda: _said(phases, "swap"))
        assert await pool.fetchval("SELECT count(*) FROM jobs") == 60, "others read meanwhile"
        await reading.rollback()
    await running
    await require_fold(settings.postgres_dsn, records)


async def _said(phases: Sequence[str], phase: str) -> bool:
    return phase in phases


async def test_tables_that_differ_are_not_put_in_place_unless_accepted(
    settings: Settings, log: Log, pool: Any
) -> None:
    records = await projected(settings, log, pool, 60)
    wrong = await pool.fetchval(
        "UPDATE jobs SET worker = 'who' WHERE id = (SELECT id FROM jobs ORDER BY id LIMIT 1)"
        " RETURNING id"
    )
    gone = await pool.fetchval(
        "DELETE FROM jobs WHERE id = (SELECT id FROM jobs ORDER BY id DESC LIMIT 1) RETURNING id"
    )
    await pool.execute("UPDATE job_counts SET count = count + 1")
    with pytest.raises(Differs, match="differ from the live ones") as caught:
        await rebuild(settings)
    found = {(one.table, one.missing): one for one in caught.value.comparison.differences}
    assert found["jobs", ""].key == {"id": str(wrong)}
    assert found["jobs", ""].columns == {"worker": ("who", "w")}
    assert found["jobs", "live"].key == {"id": str(gone)}
    assert list(found["job_counts", ""].columns) == ["count"]
    assert await pool.fetchval("SELECT count(*) FROM jobs WHERE worker = 'who'") == 1
    steps = await rebuild(settings, accept=True)
    assert steps[0].resumed
    await require_fold(settings.postgres_dsn, records)


async def test_differences_of_another_version_are_no_obstacle(
    settings: Settings, log: Log, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await projected(settings, log, pool, 60)
    await pool.execute("UPDATE jobs SET worker = 'who'")
    monkeypatch.setattr("millstream.projections.rebuild.course.VERSION", 2)
    await rebuild(settings)
    await require_fold(settings.postgres_dsn, records)
    assert await pool.fetchval("SELECT version FROM projections WHERE name = 'tables'") == 2


async def test_the_old_tables_are_kept_until_dropped(
    settings: Settings, log: Log, pool: Any
) -> None:
    await projected(settings, log, pool, 60)
    await rebuild(settings)
    assert await pool.fetchval("SELECT count(*) FROM millstream_old.jobs") == 60
    with pytest.raises(OldKept, match="--drop-old"):
        await rebuild(settings)
    assert await drop(settings, old=True) == "dropped the old tables"
    assert await drop(settings, old=True) == "there are no old tables"
    await rebuild(settings)


async def test_an_archive_with_a_gap_is_not_rebuilt_from(
    settings: Settings, log: Log, pool: Any
) -> None:
    await projected(settings, log, pool, 60)
    child = await pool.fetchval("SELECT tableoid::regclass::text FROM job_events LIMIT 1")
    await pool.execute(f"ALTER TABLE {child} DISABLE TRIGGER append_only")
    await pool.execute(f"DELETE FROM {child} WHERE seq = 30")
    async with hands(settings.postgres_dsn) as found:
        await found.shadow.create(found.reader, 1)
        await stage(found.writer)
        strides = found.strides("default", Share())
        await strides.open()
        with pytest.raises(LogGap):
            await strides.run(60)
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 60


async def test_parked_events_are_parked_again(settings: Settings, pool: Any) -> None:
    """An event nobody knows, one that no column takes, and what comes after them."""
    store = Store(settings.postgres_dsn)
    strange = msgspec.structs.replace(life(1, SUBMITTED, SUBMITTED)[1], type="job.teleported")
    late = life(2, SUBMITTED, ev.JobStarted(1, "w"), seq=3)
    wide = life(3, ev.JobSubmitted("t", priority=10**6), seq=5)
    records = [*life(1, SUBMITTED), strange, *late, *wide]
    try:
        await store.apply(records[:4])
        (lane,) = await store.past.lanes(["default"], 0)
        from millstream.projections.fold import fold
        from millstream.projections.tables import Step as Moved

        effect = fold(wide, {}, lane.parked, {5: "NumericValueOutOfRangeError: smallint"})
        assert await store.tables.apply(effect, Moved("default", 1, 4, 5, wide[0].entry))
    finally:
        store.close()
    before = await pool.fetch("SELECT seq, job, reason FROM parked_events ORDER BY seq")
    await rebuild(settings)
    assert await pool.fetch("SELECT seq, job, reason FROM parked_events ORDER BY seq") == before
    assert [row["seq"] for row in before] == [2, 5]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 2


async def test_an_event_that_no_column_takes_is_found_and_parked(
    settings: Settings, log: Log, pool: Any
) -> None:
    """One that a later release would not store though an earlier one did."""
    records = await projected(settings, log, pool, 60)
    async with hands(settings.postgres_dsn) as found:
        await found.shadow.create(found.reader, 1)
        await found.reader.execute(
            "ALTER TABLE millstream_shadow.jobs ADD CHECK (id <> $1::uuid)"
            .replace("$1", f"'{records[20].job}'")
        )  # fmt: skip
    with pytest.raises(Differs):
        await rebuild(settings)
    parked = await pool.fetch("SELECT * FROM millstream_shadow.parked_events ORDER BY seq")
    assert parked[0]["seq"] == 21
    assert {row["job"].decode() for row in parked} == {records[20].job}
    assert await pool.fetchval("SELECT count(*) FROM millstream_shadow.jobs") == 59


async def test_the_shadow_is_no_place_others_look_at(
    settings: Settings, log: Log, pool: Any
) -> None:
    """While a rebuild is unfinished, tables that were never made are still said to be missing."""
    async with hands(settings.postgres_dsn) as found:
        await found.shadow.create(found.reader, 1)
        with pytest.raises(asyncpg.UndefinedTableError):
            await found.writer.fetch("SELECT * FROM checkpoints")

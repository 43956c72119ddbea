"""Exports: archive and stream as one, gaps told, and what was broken off goes on."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.events import Record
from millstream.core.export import ExportUnfit, Gap, Manifest, Span, load, read_export
from millstream.core.log import LogReader
from millstream.projections import exporting
from millstream.projections.exporting import Exporter, gaps_of
from millstream.projections.queries import archived_events
from millstream.projections.telling import last_places
from tests.projections.stage import Log, all_records, life, projecting, until_seq, work
from tests.projections.test_history import Scene, scene, trimming
from tests.strategies import START_MS

__all__ = ["scene", "trimming"]  # fixtures


async def export(
    pool: Any, reader: LogReader, folder: Path, *, span: Span | None = None, part: int = 40,
    format: Any = "jsonl",
) -> Manifest:  # fmt: skip
    exporter = Exporter(pool, reader, folder, part_events=part)
    manifest = await exporter.open(format, "ms", span or Span(), ["default"])
    return await exporter.run(manifest)


async def test_an_export_holds_what_is_archived_and_what_is_not(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 7)
    await scene.submit(60)
    await scene.archive()
    await scene.submit(33)
    manifest = await export(scene.pool, scene.reader, tmp_path)
    assert manifest.complete
    assert load(tmp_path) == manifest
    assert list(read_export(tmp_path)) == await scene.reader.range("default")
    assert [file.count for file in manifest.files] == [40, 40, 13]
    assert [(file.first_seq, file.last_seq) for file in manifest.files] == [
        (1, 40), (41, 80), (81, 93),
    ]  # fmt: skip
    assert manifest.queues[0].gaps == []


async def test_of_a_log_that_was_lost_the_archive_is_exported(scene: Scene, tmp_path: Path) -> None:
    await scene.submit(50)
    records = await scene.reader.range("default")
    await scene.archive()
    await scene.directory.queue("default").condemn("the log is gone")
    await scene.redis.delete(scene.keys.log("default"))
    await scene.redis.hdel(scene.keys.meta("default"), "seq")
    manifest = await export(scene.pool, scene.reader, tmp_path)
    assert (manifest.complete, manifest.queues[0].gaps) == (True, [])
    assert list(read_export(tmp_path)) == records
    last = (await last_places(scene.pool, scene.reader, ["default"]))["default"]
    assert last.seq == records[-1].seq, "who listens from now on is not told the past"


async def test_what_was_cut_off_is_told_from_the_archive(trimming: Scene, tmp_path: Path) -> None:
    await trimming.submit(500)
    await trimming.archive()
    await trimming.submit(10)
    assert (await trimming.reader.range("default", count=1))[0].seq > 1
    await export(trimming.pool, trimming.reader, tmp_path, part=1000)
    assert [record.seq for record in read_export(tmp_path)] == list(range(1, 511))


async def test_any_format_holds_the_same(settings: Settings, log: Log, pool: asyncpg.Pool,
                                         tmp_path: Path) -> None:  # fmt: skip
    await work(log, 60, at_once=20)
    records = await all_records(log)
    async with projecting(settings):
        await until_seq(pool, records[-1].seq)
    for format in ("jsonl", "csv", "parquet"):
        await export(pool, LogReader(log.redis, log.keys), tmp_path / format, format=format)
        assert list(read_export(tmp_path / format)) == records


class Killed(Exception):
    pass


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
@pytest.mark.parametrize("page", range(1, 12, 2))
async def test_what_was_broken_off_anywhere_goes_on(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, format: Any
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 10)
    await scene.submit(70)
    await scene.archive()
    await scene.submit(50)
    before = await scene.reader.range("default")
    left = page

    def count(_: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed

    exporter = Exporter(scene.pool, scene.reader, tmp_path, count, part_events=25)
    manifest = await exporter.open(format, "ms", Span(), ["default"])
    with pytest.raises(Killed):
        await exporter.run(manifest)
    saved = load(tmp_path)
    assert saved is not None
    kept = {file.name: (tmp_path / file.name).stat().st_mtime_ns for file in saved.files}
    assert [record.seq for record in read_export(tmp_path)] == [
        n for n in range(1, 121) if any(f.first_seq <= n <= f.last_seq for f in saved.files)
    ]
    await scene.submit(5)  # too late for this export
    done = await export(scene.pool, scene.reader, tmp_path, part=25, format=format)
    assert done.complete
    assert list(read_export(tmp_path)) == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    names = set(os.listdir(tmp_path))  # noqa: PTH208
    assert names == {"manifest.json", *(file.name for file in done.files)}


async def test_gaps_are_told_and_not_closed(
    settings: Settings, log: Log, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    spec = ev.JobSubmitted("t")
    records = [r for n in range(1, 11) for r in life(n, spec, seq=n)]
    await log.append(*records)
    async with projecting(settings):
        await until_seq(pool, 10)
    await log.redis.delete(log.keys.log("default"))
    await pool.execute("ALTER TABLE job_events DISABLE TRIGGER USER")
    for child in await pool.fetch("SELECT inhrelid::regclass::text FROM pg_inherits"
                                  " WHERE inhparent = 'job_events'::regclass"):  # fmt: skip
        await pool.execute(f"ALTER TABLE {child[0]} DISABLE TRIGGER USER")
        await pool.execute(f"DELETE FROM {child[0]} WHERE seq IN (1, 2, 5, 10)")
    manifest = await export(pool, LogReader(log.redis, log.keys), tmp_path)
    assert [record.seq for record in read_export(tmp_path)] == [3, 4, 6, 7, 8, 9]
    assert manifest.queues[0].gaps == [Gap(0, 3), Gap(4, 6), Gap(9, 11)]
    assert [gap.missing for gap in manifest.queues[0].gaps] == [2, 1, 1]
    await pool.execute(
        "INSERT INTO dropped_events (partition, epoch, first_seq, last_seq)"
        " VALUES ('default', 1, 1, 1), ('default', 1, 2, 2), ('default', 1, 10, 10)"
    )
    again = await export(pool, LogReader(log.redis, log.keys), tmp_path / "again")
    assert [gap.dropped for gap in again.queues[0].gaps] == [True, False, True]


@given(st.sets(st.integers(1, 12)), st.integers(0, 6), st.integers(7, 14))
def test_gaps_tell_what_was_dropped_and_what_was_not(
    dropped: set[int], after: int, before: int
) -> None:
    gaps = gaps_of([(seq, seq) for seq in sorted(dropped)], after, before)
    told = {seq: gap.dropped for gap in gaps for seq in range(gap.after_seq + 1, gap.before_seq)}
    assert told == {seq: seq in dropped for seq in range(after + 1, before)}
    assert all(a.dropped != b.dropped for a, b in pairwise(gaps))


async def test_a_part_is_of_one_epoch(log: Log, pool: asyncpg.Pool, tmp_path: Path) -> None:
    old = life(1, ev.JobSubmitted("t"), ev.JobStarted(1, "w"))
    new = [Record(r.partition, r.seq, 2, r.type, r.job, r.version, r.body, r.time, r.entry)
           for r in life(2, ev.JobSubmitted("t"), seq=3)]  # fmt: skip
    await log.append(*old, *new)
    manifest = await export(pool, LogReader(log.redis, log.keys), tmp_path)
    assert [(file.epoch, file.count) for file in manifest.files] == [(1, 2), (2, 1)]
    assert list(read_export(tmp_path)) == old + new


async def test_a_span_of_time(
    settings: Settings, log: Log, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    records = [r for n in range(1, 21) for r in life(n, ev.JobSubmitted("t"), seq=n)]
    await log.append(*records[:12])
    async with projecting(settings):
        await until_seq(pool, 12)
    await log.append(*records[12:])
    reader = LogReader(log.redis, log.keys)
    begin, end = START_MS + 5000, START_MS + 15_000
    manifest = await export(pool, reader, tmp_path / "a", span=Span([], begin, end))
    assert list(read_export(tmp_path / "a")) == records[4:14]
    assert manifest.queues[0].gaps == []
    later = await export(pool, reader, tmp_path / "b", span=Span([], START_MS + 19_000))
    assert [file.count for file in later.files] == [2]
    none = await export(pool, reader, tmp_path / "c", span=Span([], None, START_MS))
    assert (none.files, none.complete, none.queues[0].gaps) == ([], True, [])


async def test_a_folder_of_something_else_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear ada")
    with pytest.raises(ExportUnfit, match="expected an empty folder"):
        await export(scene.pool, scene.reader, tmp_path)
    await scene.submit(5)
    await export(scene.pool, scene.reader, tmp_path / "a")
    (tmp_path / "a" / "note.txt").write_text("mine")
    for how in ({"format": "csv"}, {"span": Span([], 5)}):
        with pytest.raises(ExportUnfit, match="of other events or in another format"):
            await export(scene.pool, scene.reader, tmp_path / "a", **how)  # type: ignore[arg-type]
    await export(scene.pool, scene.reader, tmp_path / "a")
    assert (tmp_path / "a" / "note.txt").read_text() == "mine"
    assert len(list(read_export(tmp_path / "a"))) == 5


async def test_pages_of_the_archive_are_bounded_in_bytes(
    settings: Settings, log: Log, pool: asyncpg.Pool
) -> None:
    payloads = [wrap(os.urandom(2_000_000).hex()) for _ in range(6)]
    records = [
        record
        for n, payload in enumerate(payloads, 1)
        for record in life(n, ev.JobSubmitted("t", payload=payload), seq=n)
    ]
    await log.append(*records)
    async with projecting(settings):
        await until_seq(pool, 6)
    page = await archived_events(pool, "default", 0, 1000)
    assert 1 <= len(page) < 6
    assert page == records[: len(page)]

"""Counts of a queue at any instant are those of the fold up to it, wherever snapshots lie."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.errors import HistoryLost
from millstream.core.events import Record
from millstream.core.jobs import Job, JobState
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.projections import lane, queries
from millstream.projections.as_of import counts, counts_at
from millstream.projections.fold import fold, needed
from millstream.projections.past import Past
from millstream.projections.tables import Step, Tables
from tests.projections.stage import Log, all_records, life, projecting, until_seq, work
from tests.projections.test_tables import _empty
from tests.strategies import START_MS, Pair, logs


def told(records: list[Record], at: int) -> dict[JobState, int]:
    found: Counter[JobState] = Counter()
    jobs = fold([record for record in records if record.time <= at], {}).created
    for job in jobs:
        found[job.state] += 1
    return {state: found[state] for state in JobState}


class Archive:
    """An archive filled batch by batch, with snapshots where they are asked for."""

    def __init__(self, dsn: str, redis_url: str) -> None:
        self.tables, self.past = Tables(dsn), Past(dsn)
        self.redis = connect(redis_url, timeout=60)
        self.reader = LogReader(self.redis, Keys())
        self.jobs: dict[str, Job] = {}
        self.seq = 0

    async def add(self, records: list[Record], noted: Collection[int] = ()) -> None:
        """One batch more; `noted`: seqs after which counts are kept."""
        await self.past.begin("default", 1)
        previous = {id: self.jobs[id] for id in needed(records) & self.jobs.keys()}
        places = [record for record in records if record.seq in noted]
        effect = fold(records, previous, noted=places)
        last = records[-1]
        assert await self.tables.apply(effect, Step("default", 1, self.seq, last.seq, last.entry))
        self.jobs |= {job.id: job for job in [*effect.created, *effect.changed]}
        self.seq = last.seq

    async def close(self) -> None:
        self.tables.close()
        self.past.close()
        await self.redis.aclose()


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=logs(max_jobs=4, max_size=8),
    cuts=st.sets(st.integers(1, 30), max_size=6),
    noted=st.sets(st.integers(1, 30)),
    archived=st.integers(0, 30),
)
def test_any_instant_of_any_log(
    postgres_dsn: str,
    redis_url: str,
    log: list[Pair],
    cuts: set[int],
    noted: set[int],
    archived: int,
) -> None:
    records = [record for record, _ in log]
    ends = sorted({*(cut for cut in cuts if cut < len(records)), len(records)})
    ends = [end for end in ends if end <= archived] or ends

    async def check() -> None:
        await _empty(postgres_dsn)
        archive = Archive(postgres_dsn, redis_url)
        pool = await asyncpg.create_pool(postgres_dsn, min_size=0, init=queries_codecs)
        try:
            await pool.execute("TRUNCATE queue_snapshots")
            await archive.redis.flushall()
            await Log(archive.redis).append(*records)
            for start, end in zip([0, *ends], ends, strict=False):
                await archive.add(records[start:end], noted)
            kept = await pool.fetch("SELECT seq FROM queue_snapshots ORDER BY seq")
            assert [row["seq"] for row in kept] == sorted(n for n in noted if n <= archive.seq)
            for at in {r.time + d for r in records for d in (-1, 0)} | {START_MS - 1}:
                found = await counts_at(pool, archive.reader, "default", at)
                assert found.by_state == told(records, at)
                seqs = [record.seq for record in records if record.time <= at]
                assert found.position == (f"default:1:{max(seqs)}" if seqs else None)
        finally:
            await pool.close()
            await archive.close()

    asyncio.run(check())


async def queries_codecs(connection: Any) -> None:
    from millstream.projections.connection import set_codecs

    await set_codecs(connection)


async def test_a_projector_notes_counts_as_it_goes(
    settings: Settings, log: Log, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "SNAPSHOT_EVENTS", 100)
    for _ in range(4):
        await work(log, 100, at_once=25)
        async with projecting(settings):
            await until_seq(pool, (await all_records(log))[-1].seq)
    records = await all_records(log)
    snapshots = await pool.fetch("SELECT * FROM queue_snapshots ORDER BY seq")
    seqs = {row["seq"] for row in snapshots}
    assert set(range(100, records[-1].seq + 1, 100)) <= seqs, "however the batches lay"
    for row in snapshots:
        jobs = fold(records[: row["seq"]], {}).created
        states = Counter(job.state.value for job in jobs)
        assert {state.value: row[state.value] for state in JobState} == {
            state.value: states[state.value] for state in JobState
        }
        assert row["time"] == records[row["seq"] - 1].time
    for record in records[::37]:
        found = await counts_at(pool, LogReader(log.redis, log.keys), "default", record.time)
        assert found.by_state == told(records, record.time)


async def test_parked_events_count_as_little_as_in_the_tables(
    settings: Settings, log: Log, pool: asyncpg.Pool
) -> None:
    spec, done = ev.JobSubmitted("t"), ev.JobSucceeded()
    good = life(1, spec, ev.JobStarted(1, "w"), done)
    bad = life(2, spec, done, ev.JobStarted(1, "w"), seq=4)  # cannot have succeeded yet
    await log.append(*good, *bad)
    async with projecting(settings):
        await until_seq(pool, 6)
    reader = LogReader(log.redis, log.keys)
    for record in (good + bad)[3:]:
        found = await counts_at(pool, reader, "default", record.time)
        assert found.by_state == told(good + bad, record.time)
        assert found.by_state[JobState.QUEUED] == 1


async def test_counts_that_were_not_kept_are_not_made_up(
    settings: Settings, log: Log, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MOST_EVENTS", 2)
    records = life(1, ev.JobSubmitted("t"), ev.JobStarted(1, "w"), ev.JobSucceeded())
    await log.append(*records)
    async with projecting(settings):
        await until_seq(pool, 3)
    await pool.execute("DELETE FROM queue_snapshots")
    with pytest.raises(HistoryLost, match="were not kept then"):
        await counts_at(pool, LogReader(log.redis, log.keys), "default", records[-1].time)


async def test_a_snapshot_is_found_by_its_index(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO queue_snapshots SELECT 'q' || n % 7, n, 1, n, 0, 0, 0, 0, 0, 0, 0, 0"
        " FROM generate_series(1, 20000) AS n"
    )
    await pool.execute("ANALYZE queue_snapshots")
    sql = queries.statement("snapshot_before")
    plan = "\n".join(row[0] for row in await pool.fetch(f"EXPLAIN {sql}", "q1", 5000))
    assert "queue_snapshots_pkey" in plan
    assert "Sort" not in plan

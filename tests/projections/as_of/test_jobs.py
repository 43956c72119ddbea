"""A job and a page of jobs at any instant are those of the fold up to it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.errors import Behind, HistoryLost
from millstream.core.events import Record
from millstream.core.jobs import Job, JobState
from millstream.core.keys import Keys, partition_code
from millstream.core.log import LogReader
from millstream.core.queue import Directory
from millstream.projections import queries
from millstream.projections.as_of import JobPast, page, page_at, reading
from millstream.projections.fold import fold
from millstream.projections.listing import JobFilter
from tests.projections.as_of.test_counts import Archive
from tests.projections.stage import Log, life, projecting, until_seq
from tests.projections.test_tables import _empty
from tests.strategies import START_MS, Pair, job_id, logs, record_of

STARTED, DONE = ev.JobStarted(1, "w"), ev.JobSucceeded(wrap(7))


def then(records: list[Record], at: int) -> dict[str, Job]:
    jobs = fold([record for record in records if record.time <= at], {}).created
    return {job.id: job for job in jobs}


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids made up by tests are of a clock that is weeks ahead of the log's."""
    monkeypatch.setattr(page, "AHEAD_MS", 10**11)


@pytest.fixture
def past(log: Log, pool: object) -> JobPast:
    keys = log.keys
    return JobPast(pool, LogReader(log.redis, keys), Directory(log.redis, keys))  # type: ignore[arg-type]


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=logs(max_jobs=4, max_size=8),
    archived=st.integers(0, 30),
    states=st.sets(st.sampled_from(JobState), max_size=3),
    limit=st.integers(1, 5),
)
def test_any_instant_of_any_log(
    settings: Settings, log: list[Pair], archived: int, states: set[JobState], limit: int
) -> None:
    records = [record for record, _ in log]

    async def check() -> None:
        dsn = settings.postgres_dsn
        await _empty(dsn)
        archive = Archive(dsn, settings.redis_url)
        pool = await queries.connect(settings)
        try:
            await archive.redis.flushall()
            await Log(archive.redis).append(*records)
            if archived:
                await archive.add(records[:archived])
            past = JobPast(pool, archive.reader, _Anywhere(archive.redis, Keys()))
            instants = sorted({r.time + d for r in records for d in (-1, 0)})
            for at in instants:
                expected = then(records, at)
                for id in {record.job for record in records}:
                    assert await past.job(id, at) == expected.get(id)
            if archived < len(records):
                await archive.add(records[archived:])
            for at in instants:
                await _check_pages(pool, then(records, at), at, states, limit)
        finally:
            await pool.close()
            await archive.close()

    asyncio.run(check())


class _Anywhere(Directory):
    """Ids made up by a test end in no code of a partition."""

    async def partitions_of(self, job: str) -> list[str]:
        return ["default"]


async def _check_pages(
    pool: object, jobs: dict[str, Job], at: int, states: set[JobState], limit: int
) -> None:
    wanted = JobFilter(states=tuple(states))
    found: list[Job] = []
    cursor: str | None = None
    while True:
        part = await page_at(pool, wanted, at, cursor, limit)  # type: ignore[arg-type]
        assert len(part.items) <= limit
        found += part.items
        cursor = part.next_cursor
        if cursor is None:
            break
    fitting = [job for job in jobs.values() if not states or job.state in states]
    assert found == sorted(fitting, key=lambda job: job.id, reverse=True)


async def test_what_lies_between_is_told(log: Log, past: JobPast) -> None:
    await log.redis.sadd(log.keys.queues, "default")
    id = f"0197a5c0-0000-7000-8000-000000{partition_code('default'):06x}"
    records = [
        record_of(event, job=id, version=n, seq=n, time=START_MS + n)
        for n, event in enumerate([ev.JobSubmitted("t"), STARTED, DONE], 1)
    ]
    await log.append(*records)
    found = await past.difference(id, START_MS + 1, START_MS + 3)
    assert found is not None
    assert found.before is not None
    assert (found.before.state, found.after.state) == (JobState.QUEUED, JobState.SUCCEEDED)
    assert found.events == records[1:]
    assert found.more == 0
    same = await past.difference(id, START_MS + 3, START_MS + 3)
    assert same is not None
    assert (same.before, same.events) == (same.after, [])
    assert await past.difference(id, START_MS - 1, START_MS) is None


async def test_a_page_is_bounded_in_what_it_looks_at(
    settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "WINDOW", 4)
    monkeypatch.setattr(page, "MOST_EXAMINED", 8)
    records = [r for n in range(1, 31) for r in life(n, ev.JobSubmitted("t"), STARTED, DONE,
                                                     seq=3 * n - 2)]  # fmt: skip
    await log.append(*records)
    pool = await queries.connect(settings)
    async with projecting(settings):
        await until_seq(pool, 90)
    wanted, at = JobFilter(states=(JobState.FAILED,)), records[-1].time
    first = await page_at(pool, wanted, at, None, 10)
    assert first.items == []
    cursor, pages = first.next_cursor, 1
    while cursor is not None:
        part = await page_at(pool, wanted, at, cursor, 10)
        assert part.items == []
        cursor, pages = part.next_cursor, pages + 1
    assert pages == 4
    monkeypatch.setattr(page, "MOST_FOLDED", 4)
    wanted, found, cursor = JobFilter(states=(JobState.RUNNING,)), [], None
    while True:  # all have ended since, so each must be folded; one of them ran at that instant
        part = await page_at(pool, wanted, records[4].time, cursor, 10)
        found += part.items
        cursor = part.next_cursor
        if cursor is None:
            break
    assert [job.id for job in found] == [job_id(2)]
    await pool.close()


async def test_a_long_history_is_folded_page_by_page(
    settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LONG", 3)
    monkeypatch.setattr(page, "PAGE", 2)
    snooze = [STARTED, ev.JobSnoozed(5), ev.JobQueued("due")]
    records = life(1, ev.JobSubmitted("t"), *snooze * 3)
    await log.append(*records)
    pool = await queries.connect(settings)
    async with projecting(settings):
        await until_seq(pool, 10)
    for record in records:
        found = await page_at(pool, JobFilter(), record.time, None, 10)
        assert found.items == list(then(records, record.time).values())
    await pool.close()


async def test_what_is_missing_is_an_error_and_not_another_past(
    settings: Settings, log: Log, past: JobPast, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.redis.sadd(log.keys.queues, "default")
    id = f"0197a5c0-0000-7000-8000-000000{partition_code('default'):06x}"
    entry = f"{START_MS}-1"
    body = ev.body_of(STARTED)
    record = ev.Record("default", 1, 1, "job.started", id, 2, body, START_MS, entry)
    await log.append(record)
    with pytest.raises(HistoryLost, match="expected its submission"):
        await past.job(id, START_MS)
    monkeypatch.setattr(reading, "MOST_TAIL", 1)
    await log.redis.delete(log.keys.log("default"))
    await log.append(*life(1, ev.JobSubmitted("t")))
    with pytest.raises(Behind, match="not archived yet"):
        await past.job(id, reading.END)

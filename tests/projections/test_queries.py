"""Reading the tables: by id, by page, by filter; each on an index."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.errors import InvalidCursor, MillstreamError, Unavailable
from millstream.core.events import Record
from millstream.core.jobs import JobState
from millstream.projections import queries
from millstream.projections.as_of.page import candidates
from millstream.projections.fold import fold
from millstream.projections.histogram import ERROR
from millstream.projections.listing import JobFilter, listing, next_cursor, read_cursor
from millstream.projections.past import Past
from millstream.projections.tables import Step, Tables
from tests.projections.stage import life
from tests.strategies import START_MS, job_id, record_of

STARTED, DONE = ev.JobStarted(1, "w"), ev.JobSucceeded(wrap(1))
FAILED = ev.JobAttemptFailed(ev.Fault("OSError", "disk 100% full_up"))
GIVEN_UP = ev.JobFailed("exhausted")


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    pool = await queries.connect(settings)
    yield pool
    await pool.close()


def spec(type_: str = "t", **more: Any) -> ev.JobSubmitted:
    return ev.JobSubmitted(type_, payload=wrap({"n": 1}), **more)


def lives() -> list[Record]:
    """Jobs 1 to 9: failed, done, running, queued …, of two types, some with a tag."""
    records: list[Record] = []
    for number in range(1, 10):
        tail = {1: [STARTED, FAILED, GIVEN_UP], 2: [STARTED, DONE], 3: [STARTED], 0: []}
        begin = spec("odd" if number % 2 else "even", tags=["red"] if number > 6 else [])
        records += life(number, begin, *tail[number % 4], seq=len(records) + 1)
    return records


async def store(dsn: str, records: list[Record], partition: str = "default") -> None:
    tables, past = Tables(dsn), Past(dsn)
    await past.begin(partition, 1)
    last = records[-1]
    assert await tables.apply(fold(records, {}), Step(partition, 1, 0, last.seq, last.entry))
    tables.close()
    past.close()


@pytest.fixture
async def stored(settings: Settings) -> list[Record]:
    records = lives()
    await store(settings.postgres_dsn, records)
    return records


async def numbers(pool: asyncpg.Pool, **wanted: Any) -> list[int]:
    page = await queries.list_jobs(pool, JobFilter(**wanted), None, 100)
    return [int(job.id[-4:], 16) for job in page.items]


async def test_a_job_is_read_whole(pool: asyncpg.Pool, stored: list[Record]) -> None:
    told = {job.id: job for job in fold(stored, {}).created}
    assert await queries.get_job(pool, job_id(1)) == told[job_id(1)]
    assert await queries.get_jobs(pool, told) == told


async def test_what_is_not_there_is_none(pool: asyncpg.Pool, stored: list[Record]) -> None:
    assert await queries.get_job(pool, job_id(99)) is None
    assert await queries.get_job(pool, "no id") is None
    assert await queries.get_jobs(pool, []) == {}
    assert await queries.job_events(pool, "no id", 0, 10) == []


async def test_pages_follow_each_other_newest_first(
    pool: asyncpg.Pool, stored: list[Record]
) -> None:
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        page = await queries.list_jobs(pool, JobFilter(), cursor, 4)
        seen += [job.id for job in page.items]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [job_id(number) for number in range(9, 0, -1)]
    assert pages == 3


async def test_changes_of_a_queue_within_one_ms_are_told_in_their_order(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    kinds = [ev.QueuePaused, ev.QueueResumed] * 4
    changes = [
        record_of(kind("ada", "test"), job="", version=0, seq=seq, time=START_MS)
        for seq, kind in enumerate(kinds, 1)
    ]
    await store(settings.postgres_dsn, changes)
    found = await queries.queue_modes(pool, "default", START_MS, 5)
    assert [one.seq for one in found] == [4, 5, 6, 7, 8]


async def test_a_full_last_page_has_no_next(pool: asyncpg.Pool, stored: list[Record]) -> None:
    assert (await queries.list_jobs(pool, JobFilter(), None, 9)).next_cursor is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"states": (JobState.FAILED,)}, [9, 5, 1]),
        ({"states": (JobState.FAILED, JobState.RUNNING)}, [9, 7, 5, 3, 1]),
        ({"states": (JobState.SUCCEEDED,)}, [6, 2]),
        ({"states": (JobState.FAILED,), "tag": "red"}, [9]),
        ({"type": "even"}, [8, 6, 4, 2]),
        ({"type": "even", "states": (JobState.QUEUED,)}, [8, 4]),
        ({"queue": "default", "tag": "red"}, [9, 8, 7]),
        ({"queue": "other"}, []),
        ({"error": "DISK 100% full_"}, [9, 5, 1]),
        ({"error": "disk 100x"}, []),
        ({"error": "oserror: disk"}, [9, 5, 1]),
        ({"created_after": int("0197a5c00000", 16)}, list(range(9, 0, -1))),
        ({"created_after": int("0197a5c00001", 16)}, []),
        ({"created_before": int("0197a5c00000", 16)}, []),
    ],
)
async def test_filters(
    pool: asyncpg.Pool, stored: list[Record], wanted: dict[str, Any], found: list[int]
) -> None:
    assert await numbers(pool, **wanted) == found


async def test_pages_of_several_states_follow_each_other(
    pool: asyncpg.Pool, stored: list[Record]
) -> None:
    wanted = JobFilter(states=(JobState.FAILED, JobState.QUEUED))
    first = await queries.list_jobs(pool, wanted, None, 3)
    rest = await queries.list_jobs(pool, wanted, first.next_cursor, 3)
    told = [int(job.id[-4:], 16) for job in (*first.items, *rest.items)]
    assert told == [9, 8, 5, 4, 1]


@pytest.mark.parametrize("cursor", ["", "x", "ä", "MQ", next_cursor(job_id(1)) + "A", "MDAwMDAw"])
async def test_a_bad_cursor_is_refused(pool: asyncpg.Pool, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as refused:
        await queries.list_jobs(pool, JobFilter(), cursor, 10)
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, MillstreamError)


def test_a_cursor_reads_as_the_id_it_was_made_of() -> None:
    assert read_cursor(next_cursor(job_id(7))) == job_id(7)


async def test_the_history_of_a_job(pool: asyncpg.Pool, stored: list[Record]) -> None:
    own = [record for record in stored if record.job == job_id(1)]
    assert await queries.job_events(pool, job_id(1), 0, 100) == own
    assert await queries.job_events(pool, job_id(1), 1, 2) == own[1:3]


async def test_the_events_of_a_partition(pool: asyncpg.Pool, stored: list[Record]) -> None:
    assert await queries.archived_events(pool, "default", 0, 5) == stored[:5]
    assert await queries.archived_events(pool, "default", 5, 1000) == stored[5:]
    assert await queries.archived_events(pool, "other", 0, 5) == []


async def test_the_summary(pool: asyncpg.Pool, stored: list[Record]) -> None:
    whole = await queries.summary(pool)
    assert {state: count for state, count in whole.by_state.items() if count} == {
        "failed": 3, "succeeded": 2, "running": 2, "queued": 2,
    }  # fmt: skip
    assert set(whole.by_state) == {state.value for state in JobState}
    assert whole.total == 9
    assert whole.success_rate == 2 / 5
    assert whole.wait_ms.p50 == pytest.approx(1000, rel=ERROR)
    assert whole.run_ms.p99 == pytest.approx(1000, rel=ERROR)
    assert (await queries.summary(pool, type="even")).success_rate == 1.0
    empty = await queries.summary(pool, queue="other")
    assert (empty.total, empty.success_rate, empty.wait_ms.p50) == (0, None, None)


async def test_checkpoints(pool: asyncpg.Pool, stored: list[Record]) -> None:
    last = stored[-1]
    assert await queries.checkpoints(pool) == {
        "default": queries.Checkpoint(1, last.seq, last.entry, None)
    }


async def test_a_server_that_is_down_is_unavailable(settings: Settings) -> None:
    nowhere = msgspec.structs.replace(settings, postgres_dsn="postgresql://x@127.0.0.1:1/x")
    pool = await queries.connect(nowhere)
    with pytest.raises(Unavailable):
        await queries.get_job(pool, job_id(1))
    await pool.close()


@pytest.fixture(scope="module")
def crowded(postgres_server: Postgres, migrated_template: str) -> Iterator[str]:
    """A database with jobs enough for indexes to matter, to be read; one in 500 has failed."""
    postgres_server.start()
    postgres_server.execute(f"CREATE DATABASE crowded TEMPLATE {migrated_template}")
    records: list[Record] = []
    for number in range(1, 4001):
        tail = [STARTED, FAILED, GIVEN_UP] if number % 500 == 0 else [STARTED, DONE]
        begin = spec("rare" if number % 700 == 0 else "t", tags=["red"] * (number % 900 == 0))
        records += life(number, begin, *tail, seq=len(records) + 1, step_ms=1)

    async def fill() -> None:
        await store(dsn, records)
        connection = await asyncpg.connect(dsn)
        await connection.execute("ANALYZE")
        await connection.close()

    dsn = postgres_server.dsn_of("crowded")
    asyncio.run(fill())
    yield dsn
    postgres_server.start()
    postgres_server.execute("DROP DATABASE crowded WITH (FORCE)")


@pytest.fixture
async def many(crowded: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(crowded)
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "pkey"),
        (JobFilter(states=(JobState.FAILED,)), "state_id_idx"),
        (JobFilter(states=(JobState.FAILED, JobState.QUEUED)), "state_id_idx"),
        (JobFilter(states=(JobState.FAILED,), type="t"), "state_type_id_idx"),
        (JobFilter(states=(JobState.CANCELLED,), queue="none"), "state_queue_id_idx"),
        (JobFilter(queue="none"), "queue_id_idx"),
        (JobFilter(type="rare"), "type_id_idx"),
        (JobFilter(tag="red"), "tags_idx"),
        (JobFilter(error="disk"), "id_idx|error_text_idx"),
        (JobFilter(fingerprint="0f343b0931126a20", discarded=False), "fingerprint_id_idx"),
        (JobFilter(fingerprint="x", states=(JobState.FAILED,)), "fingerprint_id_idx"),
        (JobFilter(command="none"), "command_id_idx"),
        (JobFilter(created_before=1), "One-Time Filter: false"),
    ],
)
async def test_each_filter_has_its_index(many: Any, wanted: JobFilter, index: str) -> None:
    sql, args = listing(wanted, None, 50)
    plan = "\n".join(row[0] for row in await many.fetch(f"EXPLAIN {sql}", *args))
    assert any(name in plan for name in index.split("|")), plan
    assert "Seq Scan" not in plan, plan
    if index in ("pkey", "state_id_idx"):  # in the order of the page already
        assert "Sort" not in plan or "Merge" in plan, plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "pkey"),
        (JobFilter(states=(JobState.FAILED,), error="disk"), "pkey"),
        (JobFilter(queue="none"), "queue_id_idx"),
        (JobFilter(type="rare"), "type_id_idx"),
    ],
)
async def test_jobs_as_they_were_are_read_in_order(
    many: Any, wanted: JobFilter, index: str
) -> None:
    sql, args = candidates(wanted, 2**47, None)
    plan = "\n".join(row[0] for row in await many.fetch(f"EXPLAIN {sql}", *args))
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan or "Merge" in plan, plan


async def test_history_and_log_have_their_indexes(many: Any) -> None:
    for name, args, index in (
        ("job_history", (job_id(5), 0, 10), "job_version_idx"),
        ("partition_events", ("default", 100, 10), "partition_epoch_seq_time"),
        ("events_of_types", ("default", 100, 1000, ["job.failed"], 50), "partition_epoch_seq_time"),
        ("moves_between", ("default", 1, 100, 0, 2**62, 50, []), "partition_epoch_seq_time"),
        ("archived_entry", ("default", 1, 5), "partition_epoch_seq_time"),
        ("job_specs", ([job_id(5), job_id(7)],), "job_version_idx"),
        ("job_past", (job_id(5), 0, 2**62, 10), "job_version_idx"),
        ("jobs_past", ([job_id(5), job_id(7)], 0, 2**62), "job_version_idx"),
        ("events_of_versions", ([job_id(5)], [1], 2**62), "job_version_idx"),
        ("queue_modes", ("default", 2**62, 10), "partition_time_idx"),
        ("schedule_history", ("nightly", 2**63 - 1, "", 0, 10), "substring_time_partition_seq_idx"),
        ("lost_workers", (1_000_000, 100), "time_idx|substring_partition_epoch_seq_idx"),
        ("jobs_by_id", ([job_id(1)], job_id(1), job_id(1)), "pkey"),
        ("ended_jobs", ([job_id(1)], job_id(1), job_id(1)), "pkey"),
    ):
        sql = queries.statement(name)
        plan = "\n".join(row[0] for row in await many.fetch(f"EXPLAIN {sql}", *args))
        assert all(one in plan for one in index.split("|")), plan
        assert "Seq Scan on job" not in plan, plan


async def test_a_filter_by_type_reads_no_more_than_its_window(many: Any) -> None:
    sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {queries.statement('events_of_types')}"
    (row,) = await many.fetch(sql, "default", 100, 200, ["job.failed"], 50)
    scans = [one for one in nodes(json.loads(row[0])[0]["Plan"]) if "Scan" in one["Node Type"]]
    read = [one["Actual Rows"] for one in scans if one.get("Relation Name", "").startswith("job_e")]
    assert read
    assert max(read) <= 200


def nodes(plan: Any) -> list[Any]:
    """All nodes of a plan."""
    return [plan, *(one for below in plan.get("Plans", []) for one in nodes(below))]

"""What retention has dropped is not brought back by a rebuild, and what outlived it is not lost."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.times import time_of
from millstream.projections.own.rebuild import OwnCourse
from millstream.projections.rebuild.absent import Absent
from millstream.projections.rebuild.course import Course, Differs, RebuildFailed, Step
from millstream.projections.rebuild.kept import hold_retention
from millstream.projections.rebuild.shadow import TABLES
from millstream.projections.retention import Dropped, Policy, drop_expired
from tests.projections.test_own import Kinds, advance, counted
from tests.projections.test_retention import DONE, FAILED, MONTH, STARTED, SUBMITTED, Past30, at_day

FLOW = "0197a5c0-0000-7000-8000-00000000000f"


@pytest.fixture
def past(postgres_dsn: str) -> Past30:
    return Past30(postgres_dsn)


@pytest.fixture
async def database(postgres_dsn: str) -> Any:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def rows_of(database: Any) -> dict[str, list[str]]:
    """All rows of the tables that are rebuilt, as text; counters at 0 are no rows."""
    found: dict[str, list[str]] = {}
    for table in TABLES:
        where = "WHERE count <> 0" if table == "job_counts" else ""
        rows = await database.fetch(f"SELECT told::text FROM {table} AS told {where} ORDER BY 1")
        found[table] = [row[0] for row in rows]
    return found


async def rebuild(settings: Settings, processes: int = 1) -> Step:
    steps: list[Step] = []
    await Course(settings, steps.append, processes=processes, accept=False).run()
    return steps[-1]


def error(kind: str) -> tuple[ev.Event, ...]:
    fault = ev.JobAttemptFailed(ev.Fault(kind, "m"))
    return (SUBMITTED, STARTED, fault, ev.JobFailed("exhausted"))


async def some_months(past: Past30) -> None:
    """Jobs of which some go with their events, some without, and some in part."""
    in_flow = msgspec.structs.replace(SUBMITTED, flow=FLOW)
    await past.job(in_flow, *DONE[1:])
    for _ in range(6):
        await past.job(*DONE)
    await past.job(*error("Old"))  # an error that was never met again
    await past.job(*error("Often"))
    await past.job(*DONE, then=3)  # its end stays, on a day of which most stays
    await past.job(SUBMITTED)  # live, among those that go
    again = (ev.JobAttemptFailed(ev.Fault("E", "m"), 5), ev.JobQueued("retry"))
    await past.job(SUBMITTED, STARTED, *again, ev.JobStarted(2, "w"), ev.JobSucceeded(), then=3)
    for _ in range(12):
        await past.job(SUBMITTED, day=3)  # live
    await past.job(*DONE, day=3.5)  # its row goes, its events stay
    waits = msgspec.structs.replace(in_flow, depends_on=[FLOW], on_parent_failure="fail")
    await past.job(waits, ev.JobJoined(), *DONE[1:], day=40)
    await past.job(*error("Often"), day=40)
    await past.job(*FAILED, ev.JobDiscarded(), day=40)
    await past.job(*DONE, day=40, queue="other")


@pytest.mark.parametrize("processes", [1, 2])
async def test_tables_stay_as_retention_left_them(
    settings: Settings, past: Past30, database: Any, processes: int
) -> None:
    await some_months(past)
    dropped = await drop_expired(past.dsn, MONTH, at_day(36))
    assert dropped.jobs == 12
    assert dropped.events == 31, "ten more that their jobs left stay"
    before = await rows_of(database)
    done = await rebuild(settings, processes)
    assert done.comparison is not None
    assert done.comparison.differences == []
    assert await rows_of(database) == before
    (told,) = done.trusted
    assert (told.queue, told.rows > 0, told.left_out) == ("default", True, 1)
    assert told.before is not None
    assert time_of(at_day(3)) < told.before < time_of(at_day(40))
    # The sums of all time know more than any event that is left.
    told = await database.fetchval("SELECT sum(count) FROM job_durations WHERE kind = 'run'")
    ends = "type IN ('job.succeeded', 'job.attempt_failed')"
    left = await database.fetchval(f"SELECT count(*) FROM job_events WHERE {ends}")
    assert told > left


async def test_statistics_that_were_dropped_stay_so(
    settings: Settings, past: Past30, database: Any
) -> None:
    await some_months(past)
    await drop_expired(past.dsn, Policy({}, statistics=10), at_day(45))
    before = await rows_of(database)
    assert len(before["job_minutes"]) == 2
    await rebuild(settings)
    assert await rows_of(database) == before


async def test_where_nothing_is_left_nothing_is_brought_back(
    settings: Settings, past: Past30, database: Any
) -> None:
    for _ in range(3):
        await past.job(*DONE)
    assert await drop_expired(past.dsn, MONTH, at_day(60)) == Dropped(3, 9)
    before = await rows_of(database)
    await rebuild(settings)
    assert await rows_of(database) == before
    assert before["job_durations"]


async def test_a_row_that_is_missing_though_its_age_had_not_come_is_a_difference(
    settings: Settings, past: Past30, database: Any
) -> None:
    await some_months(past)
    await drop_expired(past.dsn, MONTH, at_day(36))
    await database.execute("DELETE FROM jobs WHERE queue = 'other'")
    await Course(settings, lambda step: None, processes=1, accept=True).run()
    assert await database.fetchval("SELECT count(*) FROM jobs WHERE queue = 'other'") == 1


async def test_events_that_nobody_dropped_are_missed(
    settings: Settings, past: Past30, database: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    await some_months(past)
    await drop_expired(past.dsn, MONTH, at_day(36))
    await database.execute("UPDATE dropped_events SET last_seq = last_seq - 1 WHERE first_seq = 1")
    with pytest.raises(RebuildFailed):
        await rebuild(settings)
    assert "shard 0 of 1: log of default: expected seq" in capfd.readouterr().err


async def test_nothing_is_dropped_while_the_archive_is_read(past: Past30, database: Any) -> None:
    await past.job(*DONE)
    await hold_retention(database)
    assert await drop_expired(past.dsn, MONTH, at_day(40)) == Dropped()
    await database.execute("SELECT pg_advisory_unlock_all()")
    assert (await drop_expired(past.dsn, MONTH, at_day(40))).jobs == 1


@given(st.sets(st.integers(1, 40)), st.integers(0, 40), st.integers(0, 40))
def test_absent_events_are_counted_as_one_by_one(seqs: set[int], one: int, other: int) -> None:
    after, until = min(one, other), max(one, other)
    ranges = [(seq, seq) for seq in seqs if seq % 2] + [(seq, seq) for seq in seqs if not seq % 2]
    expected = sum(after < seq <= until for seq in seqs)
    assert Absent(ranges).count(after, until) == expected
    joined: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if joined and joined[-1][1] == seq - 1:
            joined[-1] = (joined[-1][0], seq)
        else:
            joined.append((seq, seq))
    assert Absent(joined).count(after, until) == expected


async def test_projections_of_users_go_over_what_was_dropped(
    settings: Settings, past: Past30, database: Any
) -> None:
    """A new one is made of what is left; one that knew more is not replaced without a word."""
    await some_months(past)
    await advance(settings, Kinds())
    whole = await counted(database)
    await drop_expired(past.dsn, MONTH, at_day(36))
    left = dict(await database.fetch("SELECT type, count(*) FROM job_events GROUP BY type"))
    with pytest.raises(Differs):
        await OwnCourse(settings.postgres_dsn, Kinds(), lambda step: None, accept=False).run()
    assert await counted(database) == whole
    await OwnCourse(settings.postgres_dsn, Kinds(), lambda step: None, accept=True).run()
    assert await counted(database) == left != whole
    await database.execute("DROP TABLE kinds; DELETE FROM projections WHERE name = 'kinds';"
                           " DELETE FROM projection_checkpoints")  # fmt: skip
    await advance(settings, Kinds())
    assert await counted(database) == left
    behind = "SELECT count(*) FROM projection_checkpoints JOIN checkpoints USING (partition)" \
             " WHERE projection_checkpoints.seq <> checkpoints.seq"  # fmt: skip
    assert await database.fetchval(behind) == 0

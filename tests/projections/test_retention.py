"""Retention: what is old goes as a whole, what is left is the fold of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import asyncpg
import msgspec
import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.connection import connect
from millstream.core.errors import HistoryLost
from millstream.core.events import Record
from millstream.core.jobs import JobState
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.projections.as_of import counts_at
from millstream.projections.connection import set_codecs
from millstream.projections.fold import fold, needed
from millstream.projections.partitions import DAY_MS
from millstream.projections.past import Past
from millstream.projections.retention import Dropped, Policy, drop_expired
from millstream.projections.statements import statement
from millstream.projections.tables import Step, Tables
from tests.audits.tables import letters_of, read_stored
from tests.projections.stage import grouped
from tests.strategies import START_MS, record_of

DAY = START_MS // DAY_MS
MONTH = Policy({"*": 30.0})
SUBMITTED, STARTED = ev.JobSubmitted("t", payload=wrap(1)), ev.JobStarted(1, "w")
DONE = (SUBMITTED, STARTED, ev.JobSucceeded())
FAILED = (SUBMITTED, STARTED, ev.JobAttemptFailed(ev.Fault("E", "m")), ev.JobFailed("exhausted"))


def at_day(day: float) -> int:
    """A time, so many days after that of the first jobs."""
    return DAY * DAY_MS + round(day * DAY_MS)


class Past30:
    """Writes jobs of some days into the tables, as a projector would."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.seqs: dict[str, int] = {}
        self.made = 0

    async def job(
        self, *events: ev.Event, day: float = 0, then: float | None = None, queue: str = "default"
    ) -> str:
        """A job submitted on a day; all but its first event happened on the day `then`."""
        self.made += 1
        stamp = at_day(day)
        id = f"{stamp:012x}"[:8] + "-" + f"{stamp:012x}"[8:] + f"-7000-8000-{self.made:012x}"
        records: list[Record] = []
        for version, event in enumerate(events, 1):
            seq = self.seqs[queue] = self.seqs.get(queue, 0) + 1
            when = stamp if version == 1 or then is None else at_day(then)
            records.append(
                record_of(event, job=id, version=version, seq=seq, time=when, partition=queue)
            )
        await self.write(queue, records)
        return id

    async def own(self, *events: ev.Event, day: float = 0, queue: str = "default") -> None:
        """Events of a queue itself."""
        records: list[Record] = []
        for event in events:
            seq = self.seqs[queue] = self.seqs.get(queue, 0) + 1
            record = record_of(event, job="", version=0, seq=seq, time=at_day(day), partition=queue)
            records.append(record)
        await self.write(queue, records)

    async def write(self, queue: str, records: Sequence[Record]) -> None:
        tables, past = Tables(self.dsn), Past(self.dsn)
        try:
            first = records[0].seq - 1
            if first == 0:
                await past.begin(queue, 1)
            (lane,) = await past.lanes([queue], 0)
            previous = await past.jobs(needed(records, lane.parked))
            effect = fold(records, previous, lane.parked)
            last = records[-1]
            assert await tables.apply(effect, Step(queue, 1, first, last.seq, last.entry))
        finally:
            tables.close()
            past.close()


@pytest.fixture
def past(postgres_dsn: str) -> Past30:
    return Past30(postgres_dsn)


@pytest.fixture
async def database(postgres_dsn: str) -> Any:
    connection = await asyncpg.connect(postgres_dsn)
    yield connection
    await connection.close()


async def left(dsn: str, *queues: str) -> set[str]:
    """The jobs that are left, once it is certain that all tables agree with what is left."""
    stored = await read_stored(dsn, queues or ["default"])
    whole = fold(sorted(stored.archive, key=lambda one: (one.partition, one.seq)), {})
    jobs = {job.id: job for job in whole.created}
    for id, job in stored.jobs.items():
        assert jobs[id] == job
    assert stored.counts == dict(grouped(stored.jobs.values()))
    assert stored.letter_counts == dict(letters_of(stored.jobs.values()))
    return set(stored.jobs)


async def tables_of_days(database: Any) -> set[str]:
    rows = await database.fetch("SELECT relname FROM pg_class WHERE relname ~ '^job.*_[0-9]{8}$'")
    return {row[0] for row in rows}


async def test_a_day_of_which_all_may_go_is_dropped(past: Past30, database: Any) -> None:
    await past.job(*DONE)
    await past.job(*FAILED, day=0.5)
    young = await past.job(*DONE, day=20)
    assert await drop_expired(past.dsn, MONTH, at_day(31.9)) == Dropped()
    assert await drop_expired(past.dsn, MONTH, at_day(33)) == Dropped(2, 7)
    assert await left(past.dsn) == {young}
    assert len(await tables_of_days(database)) == 2
    dropped = await database.fetch(
        "SELECT partition, epoch, first_seq, last_seq FROM dropped_events"
    )
    assert [tuple(row) for row in dropped] == [("default", 1, 1, 7)]
    assert await drop_expired(past.dsn, MONTH, at_day(33)) == Dropped()


async def test_a_dry_run_tells_the_same_and_drops_nothing(past: Past30) -> None:
    job = await past.job(*DONE)
    told = await drop_expired(past.dsn, MONTH, at_day(40), dry_run=True)
    assert told.jobs == 1
    assert await left(past.dsn) == {job}
    assert (await drop_expired(past.dsn, MONTH, at_day(40))).jobs == told.jobs


async def test_a_job_that_lives_stays_and_so_does_its_history(past: Past30, database: Any) -> None:
    living = await past.job(SUBMITTED)
    late = await past.job(*DONE, then=25)  # submitted then, ended much later
    for _ in range(5):
        await past.job(*DONE)
    assert (await drop_expired(past.dsn, MONTH, at_day(35))).jobs == 5
    assert await left(past.dsn) == {living, late}
    # Nine of the seventeen events of the first day go with their jobs; the ranges are told.
    ranges = await database.fetch("SELECT first_seq, last_seq FROM dropped_events")
    assert [tuple(row) for row in ranges] == [(5, 19)]
    assert (await drop_expired(past.dsn, MONTH, at_day(60))).jobs == 1
    assert await left(past.dsn) == {living}


async def test_a_day_most_of_which_stays_is_left_as_it_is(past: Past30, database: Any) -> None:
    living = {await past.job(SUBMITTED) for _ in range(7)}
    await past.job(*DONE)
    assert await drop_expired(past.dsn, MONTH, at_day(35)) == Dropped(jobs=1)
    assert await left(past.dsn) == living
    assert await database.fetchval("SELECT count(*) FROM job_events") == 10


async def test_each_queue_has_an_age_of_its_own(past: Past30) -> None:
    policy = Policy({"short": 2.0, "*": 30.0})
    await past.job(*DONE, queue="short")
    kept = await past.job(*DONE, queue="default")
    assert (await drop_expired(past.dsn, policy, at_day(10))).jobs == 1
    assert await left(past.dsn, "short", "default") == {kept}
    for_ever = Policy({"short": 2.0})
    assert (await drop_expired(past.dsn, for_ever, at_day(1000))).jobs == 0


async def test_how_queues_and_schedules_are_set_up_stays(past: Past30, database: Any) -> None:
    """A restore needs it, however old it is; of firings those of the last day there were some."""
    spec = {"name": "s", "type": "t", "every": 3600.0}
    first = [
        ev.QueueConfigured(settings={"concurrency": 5}),
        ev.ScheduleCreated(schedule="s", spec=spec), ev.QueuePaused(),
        ev.ScheduleFired("s", 1, "j"), ev.ScheduleSkipped("s", 2, "overlap"),
    ]  # fmt: skip
    await past.own(*first)
    for _ in range(9):
        await past.job(*DONE)
    await past.own(ev.ScheduleFired("s", 3, "j"), ev.WorkerStarted("w"), day=1)
    for _ in range(3):
        await past.job(*DONE, day=1)
    assert (await drop_expired(past.dsn, MONTH, at_day(40))).jobs == 12
    rows = await database.fetch("SELECT type FROM job_events ORDER BY seq")
    assert [row[0] for row in rows] == [
        "queue.configured", "schedule.created", "queue.paused", "schedule.skipped",
        "schedule.fired",
    ]  # fmt: skip
    gone = await database.fetch("SELECT first_seq, last_seq FROM dropped_events ORDER BY first_seq")
    assert [tuple(row) for row in gone] == [(4, 4), (6, 32), (34, 43)]


async def test_what_a_live_job_waits_for_stays(past: Past30, database: Any) -> None:
    """How its parent ended must be known when the job is to be made again."""
    parent = await past.job(*DONE)
    other = await past.job(*DONE)
    waits = msgspec.structs.replace(
        SUBMITTED, depends_on=[parent, "0197a5c0-0000-7000-8000-000000000001"],
        on_parent_failure="fail",
    )  # fmt: skip
    child = await past.job(waits, ev.JobCancelled(), then=60)
    await database.execute("UPDATE jobs SET state = 'blocked' WHERE id = $1", child)
    for dry in (True, False):
        assert (await drop_expired(past.dsn, MONTH, at_day(40), dry_run=dry)).jobs == 1
    await database.execute("UPDATE jobs SET state = 'cancelled' WHERE id = $1", child)
    rows = await database.fetch("SELECT id::text FROM jobs")
    assert {row[0] for row in rows} == {parent, child} != {parent, child, other}
    assert (await drop_expired(past.dsn, MONTH, at_day(95))).jobs == 2


@pytest.mark.parametrize("column", ["queue", "tag", "job"])
async def test_what_is_held_stays(past: Past30, database: Any, column: str) -> None:
    held = await past.job(ev.JobSubmitted("t", tags=["case-7"]), *DONE[1:])
    other = await past.job(*DONE)
    value = {"queue": "default", "tag": "case-7", "job": held}[column]
    place = f"INSERT INTO legal_holds (name, {column}, actor, reason) VALUES ('h', $1, 'a', 'r')"
    await database.execute(place, value)
    await drop_expired(past.dsn, MONTH, at_day(40))
    assert await left(past.dsn) == ({held, other} if column == "queue" else {held})
    await database.execute("DELETE FROM legal_holds")
    await drop_expired(past.dsn, MONTH, at_day(40))
    assert await left(past.dsn) == set()


async def test_what_stays_of_the_archive_is_append_only_still(past: Past30, database: Any) -> None:
    await past.job(SUBMITTED)
    for _ in range(5):
        await past.job(*DONE)
    await drop_expired(past.dsn, MONTH, at_day(40))
    for change in ("DELETE FROM job_events", "UPDATE job_events SET seq = 0"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await database.execute(change)


async def test_statistics_have_an_age_of_their_own(past: Past30, database: Any) -> None:
    await past.job(*DONE)
    await past.job(*DONE, day=50)
    policy = Policy({}, statistics=10)
    assert await drop_expired(past.dsn, policy, at_day(55), dry_run=True) == Dropped(minutes=1)
    assert await drop_expired(past.dsn, policy, at_day(55)) == Dropped(minutes=1)
    assert await database.fetchval("SELECT count(*) FROM job_minutes") == 1
    assert len(await left(past.dsn)) == 2


async def test_counts_of_the_past_go_with_statistics(past: Past30, database: Any) -> None:
    pool = await asyncpg.create_pool(past.dsn, min_size=0, init=set_codecs)
    redis = connect("redis://127.0.0.1:1", timeout=1)  # what is archived is not asked for
    for day in range(6):
        await past.job(*DONE, day=day)
        await past.job(*DONE, day=day, queue="other")
        for queue in ("default", "other"):
            place = queue, 1, [past.seqs[queue]], [at_day(day)]
            await database.execute(statement("note_counts"), *place, *[[0]] * len(JobState))
    policy = Policy({}, statistics=10)
    told = await drop_expired(past.dsn, policy, at_day(13.5), dry_run=True)
    assert told == await drop_expired(past.dsn, policy, at_day(13.5))
    assert told.snapshots == 2 * 3  # those of days 0 to 2: that of day 3 still begins day 3.5
    times = await database.fetch("SELECT DISTINCT time FROM queue_snapshots ORDER BY time")
    assert [row["time"] for row in times] == [at_day(day) for day in (3, 4, 5)]
    reader = LogReader(redis, Keys())
    try:
        for day in range(5):  # the events are all there: counted from the first one
            found = await counts_at(pool, reader, "default", at_day(day))
            assert found.by_state[JobState.SUCCEEDED] == day + 1
        await drop_expired(past.dsn, MONTH, at_day(34.5))
        assert await database.fetchval("SELECT min(seq) FROM job_events") > 1
        for day, queue in product((0.5, 2.9), ("default", "other")):
            kept = f"the counts of {queue} are kept from 20.* on"
            with pytest.raises(HistoryLost, match=kept):
                await counts_at(pool, reader, queue, at_day(day))
        found = await counts_at(pool, reader, "default", at_day(3.5))
        assert found.by_state[JobState.SUCCEEDED] == 4
    finally:
        await redis.aclose()
        await pool.close()


async def test_one_pass_at_a_time(past: Past30, database: Any) -> None:
    await past.job(*DONE)
    await database.execute("SELECT pg_advisory_lock($1)", 0x6D696C6E)
    assert await drop_expired(past.dsn, MONTH, at_day(40)) == Dropped()
    await database.execute("SELECT pg_advisory_unlock($1)", 0x6D696C6E)
    assert (await drop_expired(past.dsn, MONTH, at_day(40))).jobs == 1


@pytest.mark.parametrize("living", [False, True])
async def test_flows_lose_what_is_dropped(past: Past30, database: Any, living: bool) -> None:
    if living:
        await past.job(SUBMITTED)  # so that the table of the day stays
    flow, other = (f"0197a5c0-0000-7000-8000-00000000000{n}" for n in (1, 2))
    spec = msgspec.structs.replace(SUBMITTED, flow=flow)
    parent = await past.job(spec, STARTED, ev.JobSucceeded())
    waits = msgspec.structs.replace(spec, depends_on=[parent], on_parent_failure="fail")
    await past.job(waits, ev.JobJoined(), STARTED, ev.JobSucceeded(), day=40)
    await past.job(msgspec.structs.replace(SUBMITTED, flow=other), STARTED, ev.JobSucceeded())
    await past.job(waits, ev.JobCancelled())
    await drop_expired(past.dsn, MONTH, at_day(41))
    rows = await database.fetch("SELECT id, jobs, succeeded, cancelled FROM flows")
    assert [tuple(map(str, row.values())) for row in rows] == [(flow, "1", "1", "0")]
    assert await database.fetchval("SELECT count(*) FROM job_links") == 1

"""Each way the tables can differ from the archive is tried once, and found by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from millstream.core.config import Settings
from millstream.core.events import Record
from millstream.projections import lane
from millstream.projections.statements import statement
from millstream.projections.verify import jobs, logs, snapshots
from millstream.projections.verify.report import Cursor, Outcome, Plan
from millstream.projections.verify.verifying import verify
from tests.audits.broken import busy_mill, project_all
from tests.audits.test_tables import TABLES
from tests.core.verbs.mill import Mill
from tests.projections.stage import Log, all_records, life, open_log, projecting, until_seq, work
from tests.projections.test_tables import STARTED, SUBMITTED, Store

UNLOCK = "ALTER TABLE job_events DISABLE TRIGGER USER;"

SAME = {
    "nothing", "a row lost", "a row of nobody", "another state", "another result",
    "a version ahead", "a count", "a dead letter", "a group of dead letters lost",
    "a letter discarded", "a count lost", "a minute", "a duration", "a sum of durations",
    "the checkpoint", "a halt", "an archived event lost", "a label", "a snapshot",
    "a snapshot of nothing",
}  # fmt: skip
"""Found by the checker of tests under the same names."""

MORE: dict[str, tuple[str, set[str]]] = {
    "a parked event that was none": (
        TABLES["a parked event"][0],
        {"event-parked", "snapshots-differ"},
    ),
    "a snapshot of another time": (
        "UPDATE queue_snapshots SET time = time + 1",
        {"snapshots-differ"},
    ),
    "the sample of dead letters": (
        "UPDATE dead_letters SET sample = (SELECT id FROM jobs WHERE state = 'succeeded' LIMIT 1)",
        {"letters-differ"},
    ),
    "the first time of dead letters": (
        "UPDATE dead_letters SET first_at = first_at - 1",
        {"letters-differ"},
    ),
    "a group of dead letters of nobody": (
        "INSERT INTO dead_letters SELECT queue, type, reason, 'x', label, 0, first_at, last_at,"
        " sample FROM dead_letters",
        {"letters-differ"},
    ),
    "an event in the middle lost": (
        UNLOCK + "DELETE FROM job_events WHERE type = 'job.cancelled'",
        {"seq-gap", "row-differs", "minutes-differ"},
    ),
    "a history that could not be": (
        UNLOCK + "UPDATE job_events SET type = 'job.cancelled', body = '{}'"
        " WHERE type = 'job.started' AND seq = (SELECT min(seq) FROM job_events"
        " WHERE type = 'job.started')",
        {"completed-twice", "minutes-differ", "durations-differ"},
    ),
    "an event no release knows": (
        UNLOCK + "UPDATE job_events SET type = 'job.vanished' WHERE type = 'worker.started'",
        {"unknown-event"},
    ),
    "a body that cannot be read": (
        UNLOCK + "UPDATE job_events SET body = '[]' WHERE type = 'worker.started'",
        {"unreadable-event"},
    ),
    "a version left out": (
        UNLOCK + "UPDATE job_events SET version = 7 WHERE type = 'job.cancelled'",
        {"version-gap", "minutes-differ"},
    ),
    "stream ids that go back": (
        UNLOCK + "UPDATE job_events SET entry = '1-1' WHERE type = 'worker.started'",
        {"entry-order"},
    ),
    "an attempt counted twice": (
        UNLOCK + 'UPDATE job_events SET body = \'{"attempt":2,"worker":"w1"}\' WHERE seq ='
        " (SELECT max(seq) FROM job_events WHERE type = 'job.started')",
        {"wrong-attempt", "row-differs"},
    ),
}


@pytest.fixture
async def mill(redis_url: str) -> AsyncIterator[Mill]:
    async with busy_mill(redis_url) as mill:
        yield mill


def names(outcome: Outcome) -> set[str]:
    return set(outcome.counts)


@pytest.mark.parametrize("what", sorted(SAME) + sorted(MORE))
async def test_what_is_broken_is_named(mill: Mill, settings: Settings, what: str) -> None:
    query, expected = MORE[what] if what in MORE else TABLES[what]
    connection = await project_all(mill, settings)
    await connection.execute(query)
    await connection.close()
    outcome = await verify(settings.postgres_dsn, Plan())
    assert names(outcome) == expected
    assert outcome.whole
    assert all(finding.detail for finding in outcome.findings)


@pytest.fixture
async def worked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Log]:
    """A log of some hundred jobs in the tables, verified in small pages."""
    monkeypatch.setattr(logs, "PAGE", 50)
    monkeypatch.setattr(jobs, "PAGE", 20)
    async with open_log(settings) as log:
        await work(log, 300)
        async with projecting(settings):
            pool: Any = await _pool(settings)
            await until_seq(pool, (await all_records(log))[-1].seq)
            await pool.close()
        yield log


async def _pool(settings: Settings) -> Any:
    from millstream.projections import queries

    return await queries.connect(settings)


async def test_what_is_right_is_found_right(worked: Log, settings: Settings) -> None:
    outcome = await verify(settings.postgres_dsn, Plan())
    assert outcome.sound, outcome.findings
    assert (outcome.jobs, outcome.whole, outcome.notes) == (300, True, [])
    assert outcome.events == len(await all_records(worked))


async def test_a_run_that_was_broken_off_goes_on(worked: Log, settings: Settings) -> None:
    """From each page on: nothing is read twice, and what was found before stays."""
    stops: list[bytes] = []
    whole = await verify(
        settings.postgres_dsn, Plan(), told=lambda at: stops.append(msgspec.json.encode(at))
    )
    assert len(stops) > 20
    await _break(settings)
    for stop in stops[::6]:
        cursor = msgspec.json.decode(stop, type=Cursor)
        cursor.counts = {"row-orphan": 1}
        outcome = await verify(settings.postgres_dsn, Plan(), cursor)
        assert (outcome.events, outcome.jobs) == (whole.events, whole.jobs)
        assert not outcome.whole
        assert names(outcome) >= {"row-orphan", "counts-differ"}
        assert any("statistics were not compared" in note for note in outcome.notes)


async def test_a_sample_looks_at_a_part(worked: Log, settings: Settings) -> None:
    whole = await verify(settings.postgres_dsn, Plan())
    part = await verify(settings.postgres_dsn, Plan(share=0.3))
    assert part.sound, part.findings
    assert 0 < part.events < whole.events
    assert 0 < part.jobs < whole.jobs
    assert not part.whole


@pytest.fixture
async def noted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Counts noted after every 60 of some 800 events; a pool."""
    monkeypatch.setattr(lane, "SNAPSHOT_EVENTS", 60)
    monkeypatch.setattr(logs, "PAGE", 50)
    monkeypatch.setattr(snapshots, "PAGE", 3)
    pool = await _pool(settings)
    async with open_log(settings) as log:
        await work(log, 300)
        async with projecting(settings):
            await until_seq(pool, (await all_records(log))[-1].seq)
    yield pool
    await pool.close()


async def test_a_snapshot_in_the_middle(noted: Any, settings: Settings) -> None:
    seqs = [row["seq"] for row in await noted.fetch("SELECT seq FROM queue_snapshots ORDER BY 1")]
    assert len(seqs) >= 8
    assert (await verify(settings.postgres_dsn, Plan())).sound
    cursor = Cursor("default", 1, seqs[2] + 1)
    assert (await verify(settings.postgres_dsn, Plan(), cursor)).sound
    await noted.execute("UPDATE queue_snapshots SET queued = queued + 1 WHERE seq = $1", seqs[4])
    outcome = await verify(settings.postgres_dsn, Plan())
    # It begins too high as well, for the one after it.
    assert [one.where for one in outcome.findings] == [f"default:1:{seq}" for seq in seqs[4:6]]
    assert (await verify(settings.postgres_dsn, Plan(), Cursor("default", 1, seqs[6]))).sound


async def test_what_retention_took_out_of_counts(noted: Any, settings: Settings) -> None:
    seqs = [row["seq"] for row in await noted.fetch("SELECT seq FROM queue_snapshots ORDER BY 1")]
    less = "UPDATE queue_snapshots SET succeeded = succeeded - 1 WHERE seq >= $1"
    await noted.execute(less, seqs[-1])
    assert names(await verify(settings.postgres_dsn, Plan())) == {"snapshots-differ"}
    assert (await verify(settings.postgres_dsn, Plan(cutoffs={"*": 0}))).sound
    await noted.execute("UPDATE queue_snapshots SET queued = queued - 1 WHERE seq = $1", seqs[-1])
    outcome = await verify(settings.postgres_dsn, Plan(cutoffs={"*": 0}))
    assert names(outcome) == {"snapshots-differ"}


async def test_other_queues_are_left_alone(worked: Log, settings: Settings) -> None:
    await _break(settings)
    assert names(await verify(settings.postgres_dsn, Plan(queues=("default",))))
    pool = await _pool(settings)
    await pool.execute(statement("make_checkpoint"), "other", 1)
    await pool.close()
    other = await verify(settings.postgres_dsn, Plan(queues=("other",)))
    assert (other.sound, other.events, other.jobs) == (True, 0, 0)


async def _break(settings: Settings) -> None:
    pool = await _pool(settings)
    await pool.execute("UPDATE job_counts SET count = count + 1 WHERE state = 'failed'")
    await pool.close()


async def test_what_retention_dropped_is_a_note(postgres_dsn: str, settings: Settings) -> None:
    """The first two of three days are gone: of what is left nothing is wrong."""
    day = 86_400_000
    store = Store(postgres_dsn)
    await store.apply(life(1, SUBMITTED, STARTED, step_ms=day))
    later: list[Record] = life(2, SUBMITTED, seq=3, step_ms=day)
    await store.apply(later)
    store.close()
    pool = await _pool(settings)
    days = await pool.fetch(
        "SELECT DISTINCT tableoid::regclass::text AS name FROM job_events ORDER BY 1"
    )
    for row in days[:2]:
        await pool.execute(f"DROP TABLE {row['name']}")
    await pool.close()
    outcome = await verify(postgres_dsn, Plan())
    assert outcome.sound, outcome.findings
    assert "begins at default:1:3" in outcome.notes[0]


async def test_what_was_noted_as_dropped_is_no_gap(worked: Log, settings: Settings) -> None:
    """Ended jobs whose rows retention took, and events of the middle that it noted."""
    pool = await _pool(settings)
    old = "SELECT id FROM jobs WHERE state = 'succeeded' ORDER BY id LIMIT 5"
    await pool.execute(f"DELETE FROM jobs WHERE id IN ({old})")
    await pool.execute(UNLOCK + "DELETE FROM job_events WHERE seq BETWEEN 305 AND 320")
    found = await verify(settings.postgres_dsn, Plan())
    assert {"row-missing", "seq-gap"} <= names(found)
    await pool.execute("INSERT INTO dropped_events VALUES ('default', 1, 305, 312)")
    half = await verify(settings.postgres_dsn, Plan(cutoffs={"*": 2**62}))
    assert "seq-gap" in names(half)
    await pool.execute("INSERT INTO dropped_events VALUES ('default', 1, 313, 320)")
    done = await verify(settings.postgres_dsn, Plan(cutoffs={"*": 2**62}))
    assert not {"row-missing", "seq-gap"} & names(done)
    assert "row-missing" in names(await verify(settings.postgres_dsn, Plan(cutoffs={"*": 1})))
    await pool.close()

"""Effects in a real database: however a log is cut, the tables are the fold of all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.codec import Data, wrap
from millstream.core.errors import Unavailable
from millstream.core.events import Record
from millstream.projections.connection import connect_once
from millstream.projections.fold import fold, needed
from millstream.projections.past import Past
from millstream.projections.tables import Corrupt, Step, Tables, Unstorable
from tests.audits.tables import read_stored
from tests.core.samples import FULL
from tests.projections.stage import life, require_fold, until
from tests.strategies import START_MS, Pair, linked, logs, submissions

SUBMITTED, STARTED = ev.JobSubmitted("t", payload=wrap(1)), ev.JobStarted(1, "w")


class Store:
    """Applies batches as the projector does, one after another."""

    def __init__(self, dsn: str) -> None:
        self.tables, self.past, self.seq = Tables(dsn), Past(dsn), 0

    async def apply(self, records: Sequence[Record]) -> bool:
        if self.seq == 0:
            await self.past.begin("default", 1)
        (lane,) = await self.past.lanes(["default"], 0)
        previous = await self.past.jobs(needed(records, lane.parked))
        effect = fold(records, previous, lane.parked)
        last = records[-1]
        step = Step("default", 1, self.seq, last.seq, last.entry)
        self.seq = last.seq
        return await self.tables.apply(effect, step)

    def close(self) -> None:
        self.tables.close()
        self.past.close()


@pytest.fixture
async def store(postgres_dsn: str) -> Any:
    store = Store(postgres_dsn)
    yield store
    store.close()


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    log=logs(max_jobs=4, max_size=8, submitted=submissions | linked),
    cuts=st.sets(st.integers(1, 30), max_size=6),
)
def test_any_cuts_give_the_same_tables(postgres_dsn: str, log: list[Pair], cuts: set[int]) -> None:
    records = [record for record, _ in log]
    ends = sorted({*(cut for cut in cuts if cut < len(records)), len(records)})

    async def cut_and_apply() -> None:
        await _empty(postgres_dsn)
        store = Store(postgres_dsn)
        try:
            for start, end in zip([0, *ends], ends, strict=False):
                assert await store.apply(records[start:end])
        finally:
            store.close()
        await require_fold(postgres_dsn, records)

    asyncio.run(cut_and_apply())


async def _empty(dsn: str) -> None:
    connection = await connect_once(dsn, timeout=60, role="test")
    for row in await connection.fetch(
        "SELECT inhrelid::regclass AS name FROM pg_inherits JOIN pg_class p ON p.oid = inhparent"
        " WHERE p.relname IN ('jobs', 'job_events')"
    ):
        await connection.execute(f"DROP TABLE {row['name']}")
    await connection.execute(
        "TRUNCATE checkpoints, job_counts, job_minutes, job_minute_durations, job_durations,"
        " parked_events, dead_letters, job_links, flows, queue_snapshots"
    )
    await connection.close()


async def test_every_field_survives_the_tables(store: Store, postgres_dsn: str) -> None:
    submitted = next(event for event in FULL if isinstance(event, ev.JobSubmitted))
    submitted = msgspec.structs.replace(
        submitted, delay_ms=None, run_at=None, concurrency_key="tenant-7", rate_key="smtp",
        schedule="nightly", occurrence=START_MS,
    )  # fmt: skip
    failed = ev.JobAttemptFailed(ev.Fault("ValueError", "no “\0” file", "line 1"), 5)
    lives = [
        life(1, submitted, STARTED, failed),
        life(2, submitted, STARTED, ev.JobSucceeded(Data(msgspec.Raw(b'"s3cret"'), "aes")), seq=4),
        life(3, submitted, STARTED, ev.JobSucceeded(), seq=7),
        life(4, submitted, ev.JobBlocked("rate of key smtp"), seq=10),
    ]
    records = [record for each in lives for record in each]
    await store.apply(records[:2])
    await store.apply(records[2:])
    await require_fold(postgres_dsn, records)


async def test_a_batch_from_another_position_changes_nothing(
    store: Store, postgres_dsn: str
) -> None:
    records = life(1, SUBMITTED, STARTED)
    await store.apply(records[:1])
    store.seq = 0
    assert not await store.apply(records)
    await require_fold(postgres_dsn, records[:1])


async def test_an_event_archived_before_is_corruption(store: Store, postgres_dsn: str) -> None:
    records = life(1, SUBMITTED, STARTED)
    await store.apply(records)
    connection = await connect_once(postgres_dsn, timeout=60, role="test")
    await connection.execute("UPDATE checkpoints SET seq = 1")
    store.seq = 1
    with pytest.raises(Corrupt, match="job_events"):
        await store.apply(life(2, SUBMITTED, seq=2))
    await connection.execute("UPDATE checkpoints SET seq = 2")
    await connection.close()
    await require_fold(postgres_dsn, records)


async def test_a_job_that_is_there_already_is_not_stored(store: Store, postgres_dsn: str) -> None:
    await store.apply(life(1, SUBMITTED))
    with pytest.raises(Unstorable):
        await store.apply([msgspec.structs.replace(record, seq=2) for record in life(1, SUBMITTED)])
    await require_fold(postgres_dsn, life(1, SUBMITTED))


async def test_a_changed_job_whose_row_is_gone_is_corruption(
    store: Store, postgres_dsn: str
) -> None:
    records = life(1, SUBMITTED, STARTED)
    await store.apply(records[:1])
    effect = fold(records[1:], await store.past.jobs({records[0].job}))
    connection = await connect_once(postgres_dsn, timeout=60, role="test")
    await connection.execute("DELETE FROM jobs")
    with pytest.raises(Corrupt, match="expected to change 1"):
        await store.tables.apply(effect, Step("default", 1, 1, 2, records[1].entry))
    await connection.close()


async def test_a_value_no_column_takes_is_unstorable(store: Store, postgres_dsn: str) -> None:
    with pytest.raises(Unstorable):
        await store.apply(life(1, ev.JobSubmitted("t", priority=10**6)))
    assert (await read_stored(postgres_dsn, ["default"])).archive == []


async def test_without_the_schema_it_is_said_what_to_do(postgres_dsn: str, store: Store) -> None:
    connection = await connect_once(postgres_dsn, timeout=60, role="test")
    await connection.execute("DROP TABLE checkpoints")
    await connection.close()
    with pytest.raises(Unavailable, match="millstream migrate"):
        await store.apply(life(1, SUBMITTED))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE job_events SET type = 'x'",
        "DELETE FROM job_events",
        "TRUNCATE job_events",
        "UPDATE {child} SET body = '{{}}'",
        "DELETE FROM {child} WHERE seq = 1",
        "TRUNCATE {child}",
        "SET session_replication_role = replica; DELETE FROM job_events",
    ],
)
async def test_the_archive_refuses_any_change(
    store: Store, postgres_dsn: str, statement: str
) -> None:
    records = life(1, SUBMITTED, STARTED)
    await store.apply(records)
    connection = await connect_once(postgres_dsn, timeout=60, role="test")
    child = await connection.fetchval("SELECT tableoid::regclass::text FROM job_events LIMIT 1")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await connection.execute(statement.format(child=child))
    await connection.close()
    await require_fold(postgres_dsn, records)


async def test_a_connection_that_cannot_be_made_ready_is_given_up(
    store: Store, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.projections.tables.statement", lambda name: "SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await store.tables.open()
    connection = await connect_once(postgres_dsn, timeout=60, role="test")

    async def given_up() -> bool:
        return not await connection.fetch(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'millstream projector'"
        )

    await until(given_up)
    await connection.close()


async def test_partitions_of_days_are_made_ahead_and_on_demand(
    store: Store, postgres_dsn: str
) -> None:
    await store.tables.make_partitions_ahead()
    await store.apply(life(1, SUBMITTED, STARTED, step_ms=86_400_000))
    connection = await connect_once(postgres_dsn, timeout=60, role="test")
    counts = await connection.fetch(
        "SELECT inhparent::regclass::text AS parent, count(*) FROM pg_inherits"
        " JOIN pg_class c ON c.oid = inhparent WHERE c.relkind = 'p' GROUP BY 1"
    )
    await connection.close()
    assert dict(counts) == {"jobs": 5, "job_events": 6}


async def test_a_partition_dropped_meanwhile_is_made_again(store: Store, postgres_dsn: str) -> None:
    records = life(1, SUBMITTED) + life(2, SUBMITTED, seq=2)
    await store.apply(records[:1])
    await _drop_jobs(postgres_dsn)
    with pytest.raises(Unstorable):
        await store.apply(records[1:])
    store.seq = 1
    assert await store.apply(records[1:])
    assert list((await read_stored(postgres_dsn, ["default"])).jobs) == [records[1].job]


async def _drop_jobs(dsn: str) -> None:
    connection = await connect_once(dsn, timeout=60, role="test")
    name = await connection.fetchval("SELECT tableoid::regclass::text FROM jobs LIMIT 1")
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()

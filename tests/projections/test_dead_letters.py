"""Dead letters in the tables: counted once each, however the log is cut, and read by the page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.errors import InvalidCursor
from millstream.core.events import Record
from millstream.core.fingerprint import fingerprint_of
from millstream.projections.dead_letters import DeadLetterFilter, DeadLetters, list_dead_letters
from millstream.projections.tables import Corrupt
from tests.projections.stage import require_fold
from tests.projections.test_tables import Store, _empty
from tests.strategies import START_MS, job_id, record_of

JOBS = 4
STARTED = ev.JobStarted(1, "w")


def error(number: int) -> ev.Fault:
    """Of jobs with the same parity the errors are alike."""
    return ev.Fault(("OSError", "ValueError")[number % 2], f"no file {number}")


class Script:
    """A log written by saying what becomes of which job."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.versions: dict[int, int] = {}
        self.failed: dict[int, bool] = {}
        """Of jobs that are over: whether they may be discarded."""

    def say(self, number: int, *events: ev.Event) -> None:
        for event in events:
            seq = len(self.records) + 1
            version = self.versions[number] = self.versions.get(number, 0) + 1
            time = START_MS + seq * 1000
            self.records.append(
                record_of(event, job=job_id(number), version=version, seq=seq, time=time)
            )

    def fail(self, number: int) -> None:
        if number not in self.versions:
            self.say(number, ev.JobSubmitted("t"))
        if number not in self.failed:
            reason = "exhausted" if number < 4 else "non_retryable"
            self.say(number, STARTED, ev.JobAttemptFailed(error(number)), ev.JobFailed(reason))
            self.failed[number] = True

    def redrive(self, number: int) -> None:
        if self.failed.pop(number, None) is not None:
            self.say(number, ev.JobRedriven("ada"))

    def discard(self, number: int) -> None:
        if self.failed.get(number):
            self.say(number, ev.JobDiscarded("ada"))
            self.failed[number] = False

    def succeed(self, number: int) -> None:
        if number in self.versions and number not in self.failed:
            self.say(number, STARTED, ev.JobSucceeded(), ev.JobRedriven("eve"))


steps = st.tuples(st.integers(1, JOBS), st.sampled_from(["fail", "redrive", "discard", "succeed"]))


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(steps, min_size=4, max_size=20), cuts=st.sets(st.integers(1, 60), max_size=9))
def test_any_cuts_give_the_same_dead_letters(
    postgres_dsn: str, plan: list[tuple[int, str]], cuts: set[int]
) -> None:
    script = Script()
    script.fail(1)
    for number, verb in plan:
        getattr(script, verb)(number)
    records = script.records
    ends = sorted({*(cut for cut in cuts if cut < len(records)), len(records)})

    async def cut_and_apply() -> None:
        await _empty(postgres_dsn)
        store = Store(postgres_dsn)
        try:
            for start, end in zip([0, *ends], ends, strict=False):
                assert await store.apply(records[start:end])
        finally:
            store.close()
        stored = await require_fold(postgres_dsn, records)
        assert sum(stored.letter_counts.values()) == sum(script.failed.values())

    asyncio.run(cut_and_apply())


@pytest.fixture
async def store(postgres_dsn: str) -> Any:
    store = Store(postgres_dsn)
    yield store
    store.close()


async def read(pool: Any, **wanted: Any) -> list[DeadLetters]:
    return (await list_dead_letters(pool, DeadLetterFilter(**wanted))).items


async def test_a_group_tells_its_first_and_last_failure(store: Store, pool: Any) -> None:
    script = Script()
    for number in (1, 2, 3, 4):
        script.fail(number)
    await store.apply(script.records)
    other, odd, even = await read(pool)
    digest, label = fingerprint_of("exhausted", error(1))
    first, last = START_MS + 4000, START_MS + 12_000
    assert odd == DeadLetters("default", "t", "exhausted", digest, label, 2, first, last, job_id(3))
    assert (even.sample, other.sample) == (job_id(2), job_id(4))
    assert (even.fingerprint, even.reason) == (other.fingerprint, "exhausted")
    assert other.reason == "non_retryable"


async def test_a_group_without_letters_is_not_shown_but_not_forgotten(
    store: Store, pool: Any
) -> None:
    script = Script()
    script.fail(1)
    await store.apply(script.records)
    (before,) = await read(pool)
    told = len(script.records)
    script.redrive(1)
    await store.apply(script.records[told:])
    assert await read(pool) == []
    told = len(script.records)
    script.fail(3)
    await store.apply(script.records[told:])
    (after,) = await read(pool)
    assert (after.count, after.first_at, after.sample) == (1, before.first_at, job_id(3))


async def test_filters_and_pages(store: Store, pool: Any) -> None:
    script = Script()
    for number in (1, 2, 3, 4):
        script.fail(number)
    await store.apply(script.records)
    whole = await read(pool)
    assert len(await read(pool, queue="default", type="t")) == 3
    assert await read(pool, queue="other") == await read(pool, type="other") == []
    digest = fingerprint_of("exhausted", error(2)).digest
    assert {one.sample for one in await read(pool, fingerprint=digest)} == {job_id(2), job_id(4)}
    found, cursor = list[DeadLetters](), None
    while True:
        page = await list_dead_letters(pool, DeadLetterFilter(), cursor, 1)
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert found == whole


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "bnVsbA", "WzEsImEiXQ", "WzEsImEiLCJcdTAwMDAiLCJhIiwiYSJd"]
)
async def test_a_cursor_that_no_page_gave(pool: Any, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await list_dead_letters(pool, DeadLetterFilter(), cursor, 1)


async def test_a_group_that_is_gone_is_corruption(store: Store, pool: Any) -> None:
    script = Script()
    script.fail(1)
    await store.apply(script.records)
    script.redrive(1)
    await pool.execute("DELETE FROM dead_letters")
    with pytest.raises(Corrupt, match="expected 1 groups of dead letters"):
        await store.apply(script.records[4:])
    store.seq = 4  # nothing of it was written: the checkpoint stands where it stood
    with pytest.raises(Corrupt):
        await store.apply(script.records[4:])

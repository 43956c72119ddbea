"""However the archive is cut into windows, strides and shards, and whatever is killed on the way,
the tables are one fold of all of it."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.codec import Data, wrap
from millstream.core.events import Record
from millstream.core.jobs import Job
from millstream.projections.effect import Effect, Failures, joined
from millstream.projections.flow_changes import FlowChange, Link, merged
from millstream.projections.fold import fold, needed
from millstream.projections.rebuild import source
from millstream.projections.rebuild.compare import compare
from millstream.projections.rebuild.held import Held
from millstream.projections.rebuild.shadow import TABLES
from millstream.projections.rebuild.shard import hands, stage
from millstream.projections.rebuild.source import Share
from tests.projections.stage import life, require_fold
from tests.projections.test_tables import Store, _empty
from tests.strategies import Pair, linked, logs, submissions

LOGS = logs(max_jobs=6, submitted=submissions | linked)
Cuts = st.lists(st.integers(1, 6), min_size=1, max_size=8)


class Memory:
    """Tables as dicts."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.sums: dict[str, Counter[Any]] = {
            name: Counter() for name in ("counts", "durations", "letters", "minutes")
        }
        self.failures: dict[Any, Failures] = {}
        self.links: set[Link] = set()
        self.flows: dict[str, FlowChange] = {}

    def insert(self, jobs: list[Job]) -> None:
        for job in jobs:
            assert job.id not in self.jobs
            self.jobs[job.id] = copy.copy(job)

    def write(self, effect: Effect) -> None:
        self.insert(effect.created)
        for job in effect.changed:
            before = self.jobs[job.id]
            assert before.version < job.version
            self.jobs[job.id] = with_spec(job, before if job not in effect.replaced else job)
        for name in ("counts", "durations", "letters"):
            for key, count in getattr(effect, name).items():
                self.sums[name][key] += count
        for key, row in effect.minutes.items():
            for field, count in enumerate(row):
                self.sums["minutes"][key, field] += count
        for group, told in effect.failures.items():
            before = self.failures.get(group)
            self.failures[group] = told if before is None else joined(before, told)
        self.links.update(effect.links)
        for flow, change in effect.flows.items():
            known = self.flows.get(flow)
            self.flows[flow] = change if known is None else merged(known, change)

    def told(self) -> Any:
        sums = {name: {k: v for k, v in each.items() if v} for name, each in self.sums.items()}
        flows = {
            flow: (change.first_at, change.last_at, change.jobs, +Counter(change.states))
            for flow, change in self.flows.items()
        }
        return self.jobs, sums, self.failures, self.links, flows


def with_spec(job: Job, given: Job) -> Job:
    """A copy with what a row keeps, unless the job is replaced, and what is not read back."""
    return msgspec.structs.replace(
        job, payload=given.payload, metadata=given.metadata, tags=given.tags
    )


def slim(job: Job) -> Job:
    return msgspec.structs.replace(job, payload=Data(), metadata={}, tags=[])


def stride(tables: Memory, records: list[Record], windows: list[int]) -> Memory:
    """What one stride makes of the tables, its windows cut as told, over and over."""
    tables, held = copy.deepcopy(tables), Held()
    at, turn = 0, 0
    while at < len(records):
        end = at + windows[turn % len(windows)]
        window, at, turn = records[at:end], end, turn + 1
        wanted = needed(window)
        previous = {job: held.jobs[job] for job in wanted if job in held.jobs}
        rows = (wanted - previous.keys()) & tables.jobs.keys()
        stored = {job: slim(tables.jobs[job]) for job in rows}
        tables.insert(held.take(fold(window, previous | stored), stored.keys()))
    tables.write(held.effect())
    return tables


def one_fold(records: list[Record]) -> Any:
    tables = Memory()
    tables.write(fold(records, {}))
    return tables.told()


@given(LOGS, Cuts, Cuts, st.lists(st.booleans(), min_size=8, max_size=8))
def test_any_windows_strides_and_crashes_give_one_fold(
    log: list[Pair], windows: list[int], strides: list[int], crashes: list[bool]
) -> None:
    records = [record for record, _ in log]
    tables, at, turn = Memory(), 0, 0
    while at < len(records):
        end = at + strides[turn % len(strides)]
        after = stride(tables, records[at:end], windows)
        turn += 1
        if turn > len(crashes) or not crashes[turn - 1]:
            tables, at = after, end
    assert tables.told() == one_fold(records)


@given(LOGS, Cuts, st.integers(1, 3))
def test_shards_one_after_another_give_one_fold(
    log: list[Pair], windows: list[int], shards: int
) -> None:
    records = [record for record, _ in log]
    tables = Memory()
    for shard in reversed(range(shards)):
        mine = [record for record in records if int(record.job[-1], 16) % shards == shard]
        tables = stride(tables, mine, windows)
    assert tables.told() == one_fold(records)


def test_a_job_replaced_before_it_ended_keeps_its_spec_when_it_runs_again() -> None:
    """It is written when it ends, and read back without its payload when it is redriven."""
    other = ev.JobReplaced("t", payload=wrap(2), tags=["b"], metadata={"k": "v"})
    again = ev.JobFailed("expired"), ev.JobRedriven()
    records = life(1, ev.JobSubmitted("t", payload=wrap(1), tags=["a"]), other, *again)
    for windows in ([1], [3, 1], [4]):
        assert stride(Memory(), records, windows).told() == one_fold(records)


def test_each_job_is_in_one_share() -> None:
    ids = [f"0197a5c0-0000-7000-8000-0000{number:02x}000000" for number in range(256)]
    for shards in (1, 2, 3):
        shares = [Share(shard, shards) for shard in range(shards)]
        assert all(sum(share.has(job) for share in shares) == 1 for job in ids)
        assert all(any(share.has(job) for job in ids) for share in shares)
        assert [share.has("no id") for share in shares] == [True] + [False] * (shards - 1)


class _Killed(Exception):
    pass


@hypothesis_settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    logs(max_jobs=4, submitted=submissions | linked),
    Cuts,
    st.lists(st.integers(0, 40), max_size=4),
    st.integers(1, 9),
    st.integers(1, 5),
    st.lists(st.integers(1, 6)),
)
def test_the_same_in_postgres(
    postgres_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    log: list[Pair],
    cuts: list[int],
    crashes: list[int],
    size: int,
    window: int,
    kills: list[int],
) -> None:
    """Live tables, in any batches with crashes and repeats, are one fold; so are rebuilt ones."""
    monkeypatch.setattr(source, "WINDOW", window)
    records = [record for record, _ in log]

    async def prove() -> None:
        await _live(postgres_dsn, records, cuts, crashes)
        await require_fold(postgres_dsn, records)
        await _rebuilt(postgres_dsn, len(records), size, kills)

    asyncio.run(prove())


async def _live(dsn: str, records: list[Record], cuts: list[int], crashes: list[int]) -> None:
    """Project batch by batch; a crash gives the connection up after so many turns of the loop."""
    await _empty(dsn)
    left, turn, seq = list(crashes), 0, 0
    crashed = False
    store = Store(dsn)
    try:
        while seq < len(records):
            batch = records[seq : seq + cuts[turn % len(cuts)]]
            turn += 1
            writing = asyncio.create_task(store.apply(batch))
            after_crash, crashed = crashed, bool(left and turn % 2)
            if crashed:
                for _ in range(left.pop()):
                    await asyncio.sleep(0)
                writing.cancel()
            with suppress(asyncio.CancelledError):
                if await writing:
                    store.seq = seq
                    assert not await store.apply(batch), "what was done is not done again"
                else:
                    assert after_crash, "else nobody but us writes"  # its commit was under way
            store.close()
            store = Store(dsn)
            found = await store.past.lanes(["default"], 0)
            seq = store.seq = found[0].seq if found else 0
    finally:
        store.close()


async def _rebuilt(dsn: str, end: int, size: int, kills: list[int]) -> None:
    """Fold into the shadow; each time as many windows were folded as `kills` says, die."""
    left = list(kills)
    count = 0

    def told(events: int) -> None:
        nonlocal count
        count += 1
        if left and count == left[0]:
            left.pop(0)
            count = 0
            raise _Killed

    async with hands(dsn) as found:
        await found.shadow.drop(found.reader)
        await found.shadow.create(found.reader, 1)
    while True:
        async with hands(dsn) as found:
            await stage(found.writer)
            strides = found.strides("default", Share(), told)
            await strides.open()
            try:
                await strides.run(end, stride=size)
            except _Killed:
                continue
            comparison = await compare(found.keeper, found.reader, found.shadow, TABLES)
            assert comparison.differences == []
            return

"""A log that can be written by hand, a projector to run on it, and what the tables must hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.events import Record
from millstream.core.ids import new_ids
from millstream.core.jobs import Job, JobState
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory, Finish, PartitionQueue, Redrive, new_job
from millstream.projections.flow_changes import FlowChange
from millstream.projections.fold import fold
from millstream.projections.service import project
from tests.audits.tables import Stored, letters_of, read_stored
from tests.strategies import START_MS, job_id, record_of


def life(
    number: int, *events: ev.Event, seq: int = 1, partition: str = "default", step_ms: int = 1000
) -> list[Record]:
    """The records of one job, `step_ms` apart."""
    return [
        record_of(
            event,
            job=job_id(number),
            version=at + 1,
            seq=seq + at,
            time=START_MS + (seq + at) * step_ms,
            partition=partition,
        )
        for at, event in enumerate(events)
    ]


class Log:
    """The log of one partition, written as log.lua does but with whatever a test wants in it."""

    def __init__(self, redis: Any, partition: str = "default") -> None:
        self.keys = Keys()
        self.redis = redis
        self.partition = partition

    async def append(self, *records: Record) -> None:
        """Append records as they are, and move the head to the last one."""
        key, meta = self.keys.log(self.partition), self.keys.meta(self.partition)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.sadd(self.keys.queues, self.partition)
            for r in records:
                fields = ("seq", r.seq, "epoch", r.epoch, "type", r.type, "job", r.job)
                pipe.execute_command(
                    "XADD", key, r.entry, *fields, "version", r.version, "body", r.body
                )
            pipe.hset(meta, mapping={"seq": records[-1].seq, "epoch": records[-1].epoch})
            await pipe.execute()

    @property
    def queue(self) -> PartitionQueue:
        """The verbs of this partition."""
        return Directory(self.redis, self.keys).queue(self.partition)


@asynccontextmanager
async def open_log(settings: Settings, partition: str = "default") -> AsyncGenerator[Log]:
    """A log on the test's own Redis."""
    redis = connect(settings.redis_url, timeout=60)
    try:
        yield Log(redis, partition)
    finally:
        await redis.aclose()


@asynccontextmanager
async def projecting(settings: Settings, count: int = 1) -> AsyncGenerator[None]:
    """Run projectors meanwhile; they end between two batches, as after SIGTERM."""
    stop = asyncio.Event()
    running = [asyncio.create_task(project(settings, stop)) for _ in range(count)]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*running)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """Ask until the answer is true, and return it."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
    return found


async def until_seq(pool: Any, seq: int, partition: str = "default") -> None:
    """Wait until the checkpoint of a partition is at `seq`."""

    async def there() -> bool:
        row = await pool.fetchval("SELECT seq FROM checkpoints WHERE partition = $1", partition)
        return row == seq

    await until(there)


async def require_fold(dsn: str, records: Sequence[Record], partition: str = "default") -> Stored:
    """Assert that the tables hold what the fold of `records` tells, and counters GROUP BY."""
    stored = await read_stored(dsn, [partition])
    told = fold(records, {})
    assert stored.archive == list(records)
    assert stored.jobs == {job.id: job for job in told.created}
    assert stored.counts == dict(grouped(stored.jobs.values()))
    assert stored.minutes == told.minutes
    assert stored.durations == told.durations
    assert stored.letters == {group: tuple(each) for group, each in told.failures.items()}
    assert stored.letter_counts == told.letters == dict(letters_of(stored.jobs.values()))
    totals: Counter[tuple[str, str, str, int]] = Counter()
    for (_, queue, type_, kind, bucket), count in told.durations.items():
        totals[queue, type_, kind, bucket] += count
    assert stored.totals == totals
    assert stored.links == set(told.links)
    assert stored.flows == {flow: flow_row(told.flows[flow]) for flow in told.flows}
    assert {place[2] for place in stored.parked} == {event.record.seq for event in told.parked}
    return stored


def flow_row(change: FlowChange) -> list[int]:
    """A flow as its row tells it: first and last event, jobs, and jobs by state."""
    states = [change.states.get(state, 0) for state in JobState]
    return [change.first_at, change.last_at, change.jobs, *states]


def grouped(jobs: Any) -> Counter[tuple[str, str, str]]:
    """The counters that a GROUP BY over `jobs` gives."""
    counts: Counter[tuple[str, str, str]] = Counter()
    found: list[Job] = list(jobs)
    for job in found:
        counts[job.queue, job.type, job.state.value] += 1
    return counts


async def work(log: Log, jobs: int, *, at_once: int = 50) -> None:
    """Submit, claim and finish jobs as workers do: some are retried, some fail, some stay queued;
    of those that failed some are run again, and some discarded."""
    await log.redis.sadd(log.keys.queues, log.partition)
    spec = ev.JobSubmitted("t", payload=wrap({"n": 1}))
    await log.queue.submit([new_job(job, spec) for job in new_ids(log.partition, jobs)])
    for _ in range(0, jobs - at_once, at_once):
        leases = (await log.queue.claim("w", at_once)).leases
        done = ev.body_of(ev.JobSucceeded(wrap("ok")))
        fault = ev.body_of(ev.JobAttemptFailed(ev.Fault("E", "no"), 10**6))
        last = ev.body_of(ev.JobAttemptFailed(ev.Fault("E", "no")))
        end = ev.body_of(ev.JobFailed("exhausted"))
        await log.queue.finish(
            [
                Finish(lease.id, lease.fence, "retry", fault, 10**6)
                if index % 5 == 0
                else Finish(lease.id, lease.fence, "failed", last, 0, end)
                if index % 5 == 1
                else Finish(lease.id, lease.fence, "succeeded", done)
                for index, lease in enumerate(leases)
            ]
        )
        dead = [lease for index, lease in enumerate(leases) if index % 5 == 1]
        again = [Redrive(one.id, 5, one.fence + 2, one.spec, 10**6) for one in dead[::3]]
        await log.queue.redrive(again, ev.Command())
        gone = [(one.id, one.fence + 2) for one in dead[1::3]]
        await log.queue.discard(gone, ev.JobDiscarded())


async def all_records(log: Log) -> list[Record]:
    """All that the log holds."""
    return await LogReader(log.redis, log.keys).range(log.partition, count=100_000)

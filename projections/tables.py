"""Writes effects into the tables: one transaction per batch, so that each counts exactly once."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from ..core.errors import MillstreamError
from ..core.jobs import Job, JobState
from .connection import connect_once, translated
from .effect import MINUTE_FIELDS, Effect, Parked
from .flow_changes import FlowChange, Link
from .noting import Noted
from .partitions import Partitions, event_day, job_day, jobs_table
from .rows import (
    CHANGED_COLUMNS,
    EVENT_COLUMNS,
    NEW_COLUMNS,
    changed_row,
    event_rows,
    new_row,
    spec_row,
)
from .statements import statement

STATEMENT_TIMEOUT = 60.0
"""Seconds a statement of the projector may take before its connection is given up."""


class Corrupt(MillstreamError):
    """The archive holds already what is to be written: projecting on would double it."""


class Unstorable(MillstreamError):
    """The database does not take a value of this batch."""


class Step(NamedTuple):
    """From where to where a batch moves the checkpoint of its partition."""

    partition: str
    epoch: int
    old_seq: int
    new_seq: int
    entry: str


class Tables:
    """The projector's connection for writing; made again after any trouble."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None
        self.partitions = Partitions()

    async def open(self) -> Any:
        """The connection. Raises Unavailable."""
        if self._connection is None or self._connection.is_closed():
            # Every statement here finds its rows by key. Any other plan, chosen for want of
            # statistics on a new partition, would stop the projection for minutes.
            connection = await connect_once(
                self._dsn,
                timeout=STATEMENT_TIMEOUT,
                role="projector",
                enable_seqscan="off",
                enable_hashjoin="off",
                enable_mergejoin="off",
            )
            try:
                with translated():
                    await connection.execute(statement("stage_jobs"))
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Give the connection up at once; what it had not committed is undone."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def make_partitions_ahead(self) -> None:
        """Make the partitions of the next days. Raises Unavailable."""
        await self.partitions.ensure_ahead(await self.open())

    async def apply(self, effect: Effect, step: Step) -> bool:
        """Write `effect` and move the checkpoint; False if another projector had moved it.

        Raises Unavailable (whether it was done is not known), Unstorable or Corrupt (it was not).
        """
        try:
            with translated():
                connection = await self.open()
                await self._make_partitions(connection, effect)
                return await _write(connection, effect, step)
        except asyncio.CancelledError:
            self.close()
            raise
        except asyncpg.UniqueViolationError as error:
            fields = error.as_dict()
            text = f"{error}: {fields.get('detail')}"
            if str(fields.get("table_name")).startswith("jobs"):
                raise Unstorable(text) from error
            raise Corrupt(text) from error
        except UNSTORABLE as error:
            self.partitions.forget()  # one may have been dropped: that too is a value not taken
            raise Unstorable(f"{type(error).__name__}: {error}") from error
        except Exception:
            self.close()
            raise

    async def _make_partitions(self, connection: Any, effect: Effect) -> None:
        first, last = event_day(effect.records[0].time), event_day(effect.records[-1].time)
        events = {first, last}
        if last != first:
            events = {event_day(record.time) for record in effect.records}
        jobs = {job_day(job.id) for job in effect.created}
        if self.partitions.missing(events, jobs):
            await self.partitions.ensure(connection, events, jobs)


UNSTORABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.UntranslatableCharacterError,
    OverflowError,
    TypeError,
    ValueError,
)


async def _write(connection: Any, effect: Effect, step: Step) -> bool:
    async with connection.transaction():
        # First, so that a second projector waits for this row, and then does nothing.
        if not await connection.fetch(statement("take_checkpoint"), *step):
            return False
        await connection.copy_records_to_table(
            "job_events", records=event_rows(effect.records, effect.raw), columns=EVENT_COLUMNS
        )
        await write_rows(connection, effect)
        if effect.noted:
            notes = columns(map(_noted, effect.noted))
            await connection.fetch(statement("note_counts"), step.partition, step.epoch, *notes)
    return True


async def write_rows(connection: Any, effect: Effect) -> None:
    """Write all of an effect but its records, in the transaction the connection is in."""
    if effect.created:
        await add_jobs(connection, effect.created)
    if effect.changed:
        await _change(connection, effect.changed)
    for job in effect.replaced:
        sql = statement("replace_spec").replace(":table", jobs_table(job_day(job.id)))
        await connection.fetch(sql, *spec_row(job))
    await _add(connection, effect)
    await _add_flows(connection, effect)
    if effect.parked:
        await connection.fetch(statement("park_events"), *columns(map(_parked, effect.parked)))


async def add_jobs(connection: Any, jobs: Sequence[Job]) -> None:
    """Write rows of jobs that have none."""
    await connection.copy_records_to_table("jobs", records=map(new_row, jobs), columns=NEW_COLUMNS)


async def _change(connection: Any, jobs: Sequence[Job]) -> None:
    await connection.copy_records_to_table(
        "staged_jobs", records=map(changed_row, jobs), columns=CHANGED_COLUMNS
    )
    changed = 0
    for day in sorted({job_day(job.id) for job in jobs}):
        sql = statement("change_jobs").replace(":table", jobs_table(day))
        changed += int((await connection.execute(sql)).removeprefix("UPDATE "))
    if changed != len(jobs):
        raise Corrupt(f"expected to change {len(jobs)} jobs that the tables had, got: {changed}")


async def _add(connection: Any, effect: Effect) -> None:
    """Add to the sums, in the order of their keys: two projectors then never wait in a circle."""
    if effect.counts:
        await connection.fetch(statement("add_counts"), *columns(_sums(effect.counts)))
    if effect.minutes:
        rows = ((*key, *effect.minutes[key]) for key in sorted(effect.minutes))
        await connection.fetch(statement("add_minutes"), *columns(rows))
    if effect.durations:
        await connection.fetch(statement("add_durations"), *columns(_sums(effect.durations)))
    if effect.failures:
        rows = ((*key, *effect.failures[key]) for key in sorted(effect.failures))
        await connection.fetch(statement("note_failures"), *columns(rows))
    if effect.letters:
        done = await connection.execute(statement("add_letters"), *columns(_sums(effect.letters)))
        if done != f"UPDATE {len(effect.letters)}":
            raise Corrupt(f"expected {len(effect.letters)} groups of dead letters, got: {done}")


async def _add_flows(connection: Any, effect: Effect) -> None:
    if effect.links:
        links = sorted(set(effect.links), key=_ends_of)
        await connection.fetch(statement("add_links"), *columns(links))
    if effect.flows:
        await add_flows(connection, effect.flows)


async def add_flows(connection: Any, flows: Mapping[str, FlowChange]) -> None:
    """Add to what is known of flows, in the order of their ids."""
    rows = ((flow, *_flow_row(flows[flow])) for flow in sorted(flows))
    await connection.fetch(statement("add_flows"), *columns(rows))


def _ends_of(link: Link) -> tuple[str, str]:
    return link[:2]


def _flow_row(change: FlowChange) -> tuple[int, ...]:
    states = (change.states.get(state, 0) for state in JobState)
    return (change.first_at, change.last_at, change.jobs, *states)


def _sums(counts: Mapping[Any, int]) -> Iterator[tuple[Any, ...]]:
    return ((*key, counts[key]) for key in sorted(counts))


def columns(rows: Any) -> list[list[Any]]:
    """Rows as the arrays `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def _noted(noted: Noted) -> tuple[int, ...]:
    return noted.seq, noted.time, *(noted.later[state] for state in JobState)


def _parked(parked: Parked) -> tuple[Any, ...]:
    r, reason = parked
    job, kind = r.job.encode(), r.type.encode()
    position = r.partition, r.epoch, r.seq, r.version, r.time, r.entry
    return (*position, job, kind, r.body, reason.replace("\0", "")[:2000])


assert len(MINUTE_FIELDS) == 6, "add_minutes.sql names each"

"""How many jobs of a queue were in which state: the last snapshot, and the events since."""

from collections.abc import Collection
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg

from ...core.errors import HistoryLost
from ...core.events import Record, position
from ...core.jobs import ASK_BODY, MOVES, JobState
from ...core.log import LogReader
from ..connection import translated
from ..partitions import DAY_MS
from ..queries import Checkpoint, archived_events, checkpoints
from ..rows import read_record
from ..statements import statement
from .reading import fetch_records, tail
from .tally import Tally

MOST_EVENTS = 50_000
"""Events counted for one answer; a snapshot is never further away."""

_AT_ONCE = 2000
_BODIES = sorted(ASK_BODY)


class Counts(NamedTuple):
    """Jobs by state, and the position of the last event counted; None: there was none yet."""

    by_state: dict[JobState, int]
    position: str | None


async def counts_at(pool: asyncpg.Pool, reader: LogReader, queue: str, at: int) -> Counts:
    """The counts of a queue at an instant. Raises HistoryLost: they are not kept, from then on they
    are; Behind."""
    known = (await checkpoints(pool)).get(queue)
    with translated():
        row = await pool.fetchrow(statement("snapshot_before"), queue, at)
    count = _Count(pool, queue, at)
    if row is not None:
        count.epoch, count.seq, count.began = row["epoch"], row["seq"], row["time"]
    began = count.began
    try:
        await count.archived(known)
        async with aclosing(tail(reader, queue, known, at)) as records:
            async for record in records:
                count.take(record)
        await _settle(pool, count.tally, began)
    except HistoryLost as error:
        raise await _not_kept(pool, queue, at, error) from error
    moved = count.tally.moved
    counts = {state: moved[state] + (row[state.value] if row else 0) for state in JobState}
    return Counts(counts, position(queue, count.epoch, count.seq) if count.seq else None)


class _Count:
    """The events of a queue from a snapshot on, up to an instant, as they are counted."""

    def __init__(self, pool: asyncpg.Pool, queue: str, at: int) -> None:
        self._pool = pool
        self._queue = queue
        self._at = at
        self._told = 0
        self.tally = Tally()
        self.epoch, self.seq, self.began = 1, 0, 0

    async def archived(self, known: Checkpoint | None) -> None:
        """Count those in the archive, of which only is read what moves jobs. `known`: the
        checkpoint, read before; up to there all of them must be."""
        parked = await _parked(self._pool, self._queue, self.epoch, self.seq, self._at)
        since = self.began - DAY_MS  # should the clock have stepped back when the log was restored
        while True:
            args = self._queue, self.epoch, self.seq, since, self._at, _AT_ONCE, _BODIES
            with translated():
                rows = await self._pool.fetch(statement("moves_between"), *args)
            if not rows:
                break
            for row in rows:
                self._follow(row["epoch"], row["seq"])
                if row["job"] is not None and (row["epoch"], row["seq"]) not in parked:
                    self._move(row)
        if known is not None and self.seq < known.seq:
            following = await archived_events(self._pool, self._queue, self.seq, 1)
            if not following or following[0].seq != self.seq + 1:
                raise HistoryLost(f"archive of {self._queue}: expected seq {self.seq + 1}")

    def take(self, record: Record) -> None:
        """Count an event of the stream, unless it was counted in the archive."""
        if record.seq > self.seq:
            self._follow(record.epoch, record.seq)
            self.tally.take(record)

    def _follow(self, epoch: int, seq: int) -> None:
        if seq != self.seq + 1:
            raise HistoryLost(
                f"archive of {self._queue}: expected seq {self.seq + 1}, got: seq {seq}"
            )
        self.epoch, self.seq, self._told = epoch, seq, self._told + 1
        if self._told > MOST_EVENTS:
            raise HistoryLost(
                f"the counts of {self._queue} were not kept then: there are none of"
                f" the {MOST_EVENTS} events before"
            )

    def _move(self, row: Any) -> None:
        move = MOVES.get(row["type"])
        if move is not None:
            self.tally.move(str(row["job"]), row["version"], move)
        elif row["body"] is not None:
            self.tally.take(read_record({**row, "partition": self._queue}))


async def _settle(pool: asyncpg.Pool, tally: Tally, until: int) -> None:
    wanted = sorted(tally.unknown.items())
    for first in range(0, len(wanted), _AT_ONCE):
        jobs, versions = zip(*wanted[first : first + _AT_ONCE], strict=True)
        tally.settle(await fetch_records(pool, "events_of_versions", jobs, versions, until))
    if tally.unknown:
        raise HistoryLost(f"the history of job {next(iter(tally.unknown))} is not whole")


async def _not_kept(pool: asyncpg.Pool, queue: str, at: int, error: HistoryLost) -> HistoryLost:
    """The same, saying from when on counts are kept, if the instant is before that."""
    with translated():
        first = await pool.fetchval(statement("first_snapshot"), queue)
    if first is None or first <= at:
        return error
    return HistoryLost(f"the counts of {queue} are kept from {_time(first)} on ({error})")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


async def _parked(
    pool: asyncpg.Pool, queue: str, epoch: int, seq: int, at: int
) -> Collection[tuple[int, int]]:
    with translated():
        rows = await pool.fetch(statement("parked_between"), queue, epoch, seq, at)
    return {(row["epoch"], row["seq"]) for row in rows}

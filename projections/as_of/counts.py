"""How many jobs of a queue were in which state: the last snapshot, and the events since."""

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import aclosing
from typing import NamedTuple

import asyncpg

from ...core.errors import HistoryLost, UnknownEvent, UnreadableEvent
from ...core.events import Record, position
from ...core.jobs import JobState, state_after, state_before
from ...core.log import LogReader
from ...core.upcast import decode
from ..connection import translated
from ..queries import checkpoints
from ..statements import statement
from .reading import events_until, fetch_records

MOST_EVENTS = 50_000
"""Events counted for one answer; a snapshot is never further away."""

_AT_ONCE = 1000


class Counts(NamedTuple):
    """Jobs by state, and the position of the last event counted; None: there was none yet."""

    by_state: dict[JobState, int]
    position: str | None


class Tally:
    """Counts how events move jobs between states.

    `unknown`: jobs whose state before their first event here only an earlier event tells, with the
    version of that one.
    """

    def __init__(self) -> None:
        self.moved: Counter[JobState] = Counter()
        self.unknown: dict[str, int] = {}
        self._last: dict[str, JobState] = {}

    def take(self, record: Record) -> None:
        """Count one event; what cannot be read moves nothing, here as in the tables."""
        if not record.job:
            return
        try:
            event = decode(record)
        except (UnknownEvent, UnreadableEvent):
            return
        before = self._last.get(record.job) or state_before(event)
        if before is not None:
            self.moved[before] -= 1
        elif record.version > 1:
            self.unknown[record.job] = record.version - 1
        after = self._last[record.job] = state_after(event)
        self.moved[after] += 1

    def settle(self, earlier: Iterable[Record]) -> None:
        """Take jobs from the states that those earlier events left them in."""
        for record in earlier:
            self.moved[state_after(decode(record))] -= 1
            del self.unknown[record.job]


async def counts_at(pool: asyncpg.Pool, reader: LogReader, queue: str, at: int) -> Counts:
    """The counts of a queue at an instant."""
    known = (await checkpoints(pool)).get(queue)
    with translated():
        row = await pool.fetchrow(statement("snapshot_before"), queue, at)
    epoch, seq, began = (1, 0, 0) if row is None else (row["epoch"], row["seq"], row["time"])
    parked = await _parked(pool, queue, epoch, seq, at)
    tally, told = Tally(), 0
    async with aclosing(events_until(pool, reader, queue, known, seq, at)) as records:
        async for record in records:
            epoch, seq, told = record.epoch, record.seq, told + 1
            if told > MOST_EVENTS:
                raise HistoryLost(f"the counts of {queue} were not kept then: there are none of"
                                  f" the {MOST_EVENTS} events before")  # fmt: skip
            if (epoch, seq) not in parked:
                tally.take(record)
    await _settle(pool, tally, began)
    counts = {state: tally.moved[state] + (row[state.value] if row else 0) for state in JobState}
    return Counts(counts, position(queue, epoch, seq) if seq else None)


async def _settle(pool: asyncpg.Pool, tally: Tally, until: int) -> None:
    wanted = sorted(tally.unknown.items())
    for first in range(0, len(wanted), _AT_ONCE):
        jobs, versions = zip(*wanted[first : first + _AT_ONCE], strict=True)
        tally.settle(await fetch_records(pool, "events_of_versions", jobs, versions, until))
    if tally.unknown:
        raise HistoryLost(f"the history of job {next(iter(tally.unknown))} is not whole")


async def _parked(
    pool: asyncpg.Pool, queue: str, epoch: int, seq: int, at: int
) -> Collection[tuple[int, int]]:
    with translated():
        rows = await pool.fetch(statement("parked_between"), queue, epoch, seq, at)
    return {(row["epoch"], row["seq"]) for row in rows}

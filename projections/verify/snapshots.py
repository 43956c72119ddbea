"""Counts of queues as they were, against what the events between one and the next do to them."""

from collections.abc import Collection, Sequence
from typing import Any

from ...core.events import Record
from ...core.jobs import TERMINAL, JobState
from ..as_of.reading import fetch_records
from ..as_of.tally import Tally
from ..statements import statement
from .report import Run

PAGE = 500
MOST_EVENTS = 50_000
"""Events between two snapshots that are counted: jobs among them are kept in memory. An older
projector left a batch and 2,000 between them."""


class Snapshots:
    """The snapshots of one partition, met in the order of its log, a page of events at a time."""

    def __init__(self, connection: Any, run: Run, partition: str) -> None:
        self._connection = connection
        self._run = run
        self._partition = partition
        self._page: list[Any] = []
        self._last = (-1, -1)
        self._more = True
        self._tally: Tally | None = None
        self._base: Any = None
        self._seq = 0
        self._told = 0

    async def begin_after(self, seq: int) -> None:
        """What follows this event comes next; of the events before it nothing is known, if it is
        not the first."""
        self._seq = seq
        self._base = None
        while (row := await self._next()) is not None and row["seq"] <= seq:
            if row["seq"] == seq:
                self._base = row
            self._page.pop()
        self._restart(known=seq == 0 or self._base is not None)

    async def take(self, records: Sequence[Record]) -> None:
        """A page of events that follow those before it."""
        if not records:
            return
        parked = await self._parked(records)
        for record in records:
            if self._tally is not None and (record.epoch, record.seq) not in parked:
                self._tally.take(record)
            self._told += 1
            if self._told > MOST_EVENTS:
                self._tally = None
            while (row := await self._next()) is not None and row["seq"] <= record.seq:
                self._page.pop()
                await self._meet(row, record)
            self._seq = record.seq

    async def end(self) -> None:
        """The archive of the partition ends here."""
        while (row := await self._next()) is not None:
            self._page.pop()
            if row["seq"] > max(self._seq, self._run.cursor.seq):
                at = f"{self._partition}:{row['epoch']}:{row['seq']}"
                told = "expected it to be of an event of the archive, which ends before"
                self._run.found.add("snapshots-differ", at, told)

    async def _next(self) -> Any:
        """The next snapshot, which stays the next one; None: there is no more."""
        if not self._page and self._more:
            args = self._partition, *self._last, PAGE
            rows = await self._connection.fetch(statement("verify_snapshots"), *args)
            self._more = len(rows) == PAGE
            self._page = list(reversed(rows))
            if rows:
                self._last = rows[-1]["time"], rows[-1]["seq"]
        return self._page[-1] if self._page else None

    async def _meet(self, row: Any, record: Record) -> None:
        """Hold a snapshot against the events since the one before."""
        found, at = self._run.found, f"{self._partition}:{row['epoch']}:{row['seq']}"
        if (row["epoch"], row["seq"], row["time"]) != (record.epoch, record.seq, record.time):
            here = f"{record.position} at {record.time}"
            found.add("snapshots-differ", at, f"expected it to be of {here}, got {row['time']}")
            return
        if self._tally is not None and await self._settled(self._tally, record):
            cutoff = self._run.plan.cutoff(self._partition)
            for state in JobState:
                expected = self._tally.moved[state]
                expected += 0 if self._base is None else self._base[state.value]
                got = row[state.value]
                # Retention takes jobs that ended out of the counts.
                less = cutoff is not None and state in TERMINAL
                if got > expected or (got < expected and not less):
                    told = f"{state.value}: expected {expected}, got {got}"
                    found.add("snapshots-differ", at, told)
        self._base = row
        self._restart(known=True)

    def _restart(self, *, known: bool) -> None:
        self._tally = Tally() if known else None
        self._told = 0

    async def _settled(self, tally: Tally, until: Record) -> bool:
        """Whether it is known which states jobs came from."""
        if tally.unknown:
            jobs, versions = zip(*sorted(tally.unknown.items()), strict=True)
            args = "events_of_versions", jobs, versions, until.time
            tally.settle(await fetch_records(self._connection, *args))
        return not tally.unknown

    async def _parked(self, records: Sequence[Record]) -> Collection[tuple[int, int]]:
        first, last = records[0], records[-1]
        args = self._partition, first.epoch, first.seq - 1, last.time
        rows = await self._connection.fetch(statement("parked_between"), *args)
        return {(row["epoch"], row["seq"]) for row in rows}

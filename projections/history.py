"""The whole past and present of the logs as one sequence: archive first, then the stream.

The two overlap: the stream keeps a margin of what is archived. They are joined at the seq, so that
no event is told twice and none is left out; where one should be missing, LogGap is raised, unless
retention dropped it for its age.
"""

import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, NamedTuple

from ..core.errors import LogGap
from ..core.events import Record
from ..core.log import START, LogReader, check_contiguous
from .connection import translated
from .queries import archived_events, checkpoints, job_events
from .rows import read_record
from .statements import statement

PAGE = 1000

WINDOW = 2500
"""Archived events looked at by one statement for those of some types."""


class Cursor(NamedTuple):
    """Up to where a log was told: the seq, and a stream id at or before it."""

    seq: int
    entry: str


class History:
    """Tells the events of logs in order, and remembers up to where.

    `pool` is of `projections.queries.connect`; `reader` allows for blocks of `block_ms`. `types`:
    of archived events of other types only some are told, each standing for all since the one told
    before; None: all are asked for. Raises Unavailable and LogGap.
    """

    def __init__(
        self,
        pool: Any,
        reader: LogReader,
        *,
        page: int = PAGE,
        block_ms: int = 500,
        types: Sequence[str] | None = None,
    ) -> None:
        self._pool = pool
        self._types = None if types is None else list(types)
        self._reader = reader
        self._page = page
        self._block_ms = block_ms
        self._at: dict[str, Cursor] = {}

    async def start(self, partition: str, after_seq: int = 0, entry: str | None = None) -> None:
        """Tell this partition, too, from the event after `after_seq` on.

        `entry`: a stream id known to be that event's, or one before it.
        """
        if entry is None:
            entry = await self._entry_of(partition, after_seq)
        self._at[partition] = Cursor(after_seq, entry)

    async def _entry_of(self, partition: str, after_seq: int) -> str:
        if after_seq:
            known = await archived_events(self._pool, partition, after_seq - 1, 1)
            if known and known[0].seq == after_seq:
                return known[0].entry
        return START

    async def start_at_job(self, partition: str, job: str) -> list[Record]:
        """The archived events of a job; the partition is then told from the archive's end on."""
        # Asked first: what is archived in between is then in both, and told by the job's version.
        checkpoint = (await checkpoints(self._pool)).get(partition)
        self._at[partition] = (
            Cursor(0, START) if checkpoint is None else Cursor(checkpoint.seq, checkpoint.entry)
        )
        found: list[Record] = []
        while page := await job_events(
            self._pool, job, found[-1].version if found else 0, self._page
        ):
            found += page
        return found

    async def backlog(self) -> AsyncGenerator[Record]:
        """What there is of all started partitions, by time: at least up to this moment."""
        ends = {name: await last_seq(self._pool, self._reader, name) for name in self._at}
        async with AsyncExitStack() as stack:
            parts = [
                await stack.enter_async_context(aclosing(self._until(partition, end)))
                for partition, end in ends.items()
            ]
            async for record in _by_time(parts):
                yield record

    async def coming(self) -> AsyncGenerator[list[Record]]:
        """What comes after, for ever, as it comes: an empty list when nothing did for a while."""
        while True:
            after = {partition: cursor.entry for partition, cursor in self._at.items()}
            found = await self._reader.read(after, self._page, self._block_ms)
            fresh: list[Record] = []
            for partition, records in found.items():
                fresh += await self._join(partition, records)
            yield fresh

    async def _until(self, partition: str, end: int) -> AsyncGenerator[Record]:
        """The events of one partition up to the seq `end`, and those that were read with it."""
        while self._at[partition].seq < end:
            seq = self._at[partition].seq
            records = await self._archived(partition, seq)
            if not records:
                try:
                    records = await self._next_in_stream(partition)
                except LogGap:
                    if not await self._skip_dropped(partition, end):
                        raise
                    continue
            for record in records:
                yield record

    async def _archived(self, partition: str, seq: int) -> list[Record]:
        """The next events of the archive; with types, those that are to be told of the next."""
        if self._types is not None:
            args = partition, seq, WINDOW, self._types, self._page
            with translated():
                rows = await self._pool.fetch(statement("events_of_types"), *args)
            if rows and rows[0]["whole"]:
                records = [read_record(row) for row in rows]
                self._at[partition] = Cursor(records[-1].seq, records[-1].entry)
                return records
        records = await archived_events(self._pool, partition, seq, self._page)
        if records:
            await self._move(partition, records)
        return records

    async def _next_in_stream(self, partition: str) -> list[Record]:
        """The next events, which the archive does not have."""
        while True:
            at = self._at[partition]
            found = await self._reader.read({partition: at.entry}, self._page)
            if partition not in found:
                raise LogGap(partition, at.seq + 1, None)
            records = await self._join(partition, found[partition])
            if records:
                return records

    async def _join(self, partition: str, records: Sequence[Record]) -> list[Record]:
        """Those of `records`, read from the stream, that were not told yet.

        Where the stream was trimmed in the meantime, the archive has what is missing.
        """
        at = self._at[partition]
        fresh = [record for record in records if record.seq > at.seq]
        if not fresh:
            self._at[partition] = Cursor(at.seq, records[-1].entry)
            return []
        missing: list[Record] = []
        while (told := missing[-1].seq if missing else at.seq) < fresh[0].seq - 1:
            page = await archived_events(self._pool, partition, told, self._page)
            page = [record for record in page if record.seq < fresh[0].seq]
            if not page:
                raise LogGap(partition, told + 1, fresh[0].seq)
            missing += page
        joined = missing + fresh
        await self._move(partition, joined)
        return joined

    async def _move(self, partition: str, records: Sequence[Record]) -> None:
        """Go on behind these. A gap that retention left is no loss; any other is a LogGap."""
        seq = self._at[partition].seq
        try:
            check_contiguous(records, seq)
        except LogGap:
            ranges = await self._dropped(partition, seq, records[-1].seq)
            for record in records:
                if record.seq != seq + 1:
                    seq = behind(ranges, seq)
                    check_contiguous([record], seq)
                seq = record.seq
        self._at[partition] = Cursor(records[-1].seq, records[-1].entry)

    async def _skip_dropped(self, partition: str, end: int) -> bool:
        """Go on behind what retention dropped right here; whether there was anything."""
        at = self._at[partition]
        seq = behind(await self._dropped(partition, at.seq, end + 1), at.seq)
        self._at[partition] = Cursor(seq, at.entry)
        return seq > at.seq

    async def _dropped(self, partition: str, after: int, before: int) -> list[tuple[int, int]]:
        with translated():
            rows = await self._pool.fetch(statement("dropped_between"), partition, after, before)
        return [(row["first_seq"], row["last_seq"]) for row in rows]


async def last_seq(pool: Any, reader: LogReader, partition: str) -> int:
    """The seq of the last event there is to tell: of a log that was lost, of its archive."""
    head = await reader.head(partition)
    if head.lost is None:
        return head.seq
    checkpoint = (await checkpoints(pool)).get(partition)
    return 0 if checkpoint is None else checkpoint.seq


def behind(ranges: Sequence[tuple[int, int]], seq: int) -> int:
    """The last of the events right after `seq` that are in these ranges, which are in order."""
    for first, last in ranges:
        if first <= seq + 1 <= last:
            seq = last
    return seq


async def _by_time(parts: Sequence[AsyncIterator[Record]]) -> AsyncGenerator[Record]:
    """Several ordered sequences as one; within each the order stays as it is."""
    heap: list[tuple[int, int, Record]] = []
    for number, part in enumerate(parts):
        async for record in part:
            heapq.heappush(heap, (record.time, number, record))
            break
    while heap:
        _, number, record = heap[0]
        yield record
        following = await anext(parts[number], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.time, number, following))

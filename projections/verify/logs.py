"""The first pass: the archive of each partition in the order of its log."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ...core.audits.order import Order
from ...core.audits.report import Report
from ...core.errors import UnknownEvent, UnreadableEvent
from ...core.events import JobSubmitted, Record
from ...core.upcast import decode
from ..fold import is_job_id
from ..queries import Checkpoint, checkpoints
from ..rows import read_record
from ..statements import statement
from .report import Run
from .snapshots import Snapshots

PAGE = 2000


class LogPass:
    """Order, readable bodies, a row for each submission, and checkpoints at the archive's end."""

    def __init__(self, connection: Any, run: Run) -> None:
        self._connection = connection
        self._run = run
        self._report = Report()

    async def pages(self) -> AsyncGenerator[None]:
        """Do it; yields after each page."""
        cursor = self._run.cursor
        for partition, checkpoint in sorted((await checkpoints(self._connection)).items()):
            if partition < cursor.partition or not self._run.wanted(partition):
                continue
            if partition != cursor.partition:
                cursor.partition, cursor.epoch, cursor.seq = partition, 0, 0
            order, snapshots = (
                Order(self._report),
                Snapshots(self._connection, self._run, partition),
            )
            while await self._next_epoch(partition):
                async for _ in self._epoch(partition, order, snapshots):
                    yield
            if order.begun:
                await snapshots.end()
            await self._check_end(partition, checkpoint)
        await self._parked()

    async def _next_epoch(self, partition: str) -> bool:
        """Whether there is more to read; the cursor then stands in the epoch of the next event."""
        cursor = self._run.cursor
        if await self._events(partition, cursor.epoch, cursor.seq, 1):
            return True
        found = await self._connection.fetch(statement("next_epoch"), partition, cursor.epoch)
        if not found:
            return False
        (first,) = await self._events(partition, found[0]["epoch"], 0, 1)
        if cursor.epoch == 0 and first.seq > 1:
            cursor.late.append(partition)
            self._run.note(f"the archive of {partition} begins at {first.position}")
        cursor.epoch, cursor.seq = first.epoch, first.seq - 1
        return True

    async def _epoch(
        self, partition: str, order: Order, snapshots: Snapshots
    ) -> AsyncGenerator[None]:
        """Read on to the end of an epoch. Pages that are passed over leave their seqs out."""
        cursor, follows = self._run.cursor, order.begun
        while True:
            if not self._run.chosen():
                cursor.seq, follows = cursor.seq + PAGE, False
                if not await self._events(partition, cursor.epoch, cursor.seq, 1):
                    return
                continue
            records = await self._events(partition, cursor.epoch, cursor.seq, PAGE)
            if not records:
                return
            if not follows:
                order.begin_after(partition, cursor.epoch, cursor.seq)
                await snapshots.begin_after(cursor.seq)
            await self._follow(records, order, snapshots)
            await self._check_rows(records)
            cursor.seq, follows = records[-1].seq, True
            cursor.events += len(records)
            self._run.take(self._report)
            yield

    async def _follow(self, records: Sequence[Record], order: Order, snapshots: Snapshots) -> None:
        """A page in order; the snapshots along it, as far as no event is missing."""
        after, begun = self._run.cursor.seq, 0
        for index, record in enumerate(records):
            if record.seq > after + 1:
                await snapshots.take(records[begun:index])
                await snapshots.begin_after(record.seq - 1)
                begun = index
                if await self._dropped(record, after + 1):
                    order.begin_after(record.partition, record.epoch, record.seq - 1)
            order.take(record)
            after = record.seq
            self._read(record)
        await snapshots.take(records[begun:])

    async def _events(self, partition: str, epoch: int, after: int, limit: int) -> list[Record]:
        args = partition, epoch, after, limit
        rows = await self._connection.fetch(statement("epoch_events"), *args)
        return [read_record(row) for row in rows]

    def _read(self, record: Record) -> None:
        try:
            decode(record)
        except UnknownEvent as error:
            self._run.found.add("unknown-event", record.position, str(error))
        except UnreadableEvent as error:
            self._run.found.add("unreadable-event", record.position, str(error))

    async def _dropped(self, record: Record, first: int) -> bool:
        """Whether all events from `first` up to this one were dropped, or declared to be lost."""
        args = record.partition, record.epoch, first, record.seq - 1
        found = await self._connection.fetchrow(statement("verify_dropped"), *args)
        if found["count"] < record.seq - first:
            return False
        if found["declared"]:
            self._run.note(f"events of {record.partition} are in a declared gap")
        else:
            self._run.note(f"events of {record.partition} were dropped for their age")
        return True

    async def _check_rows(self, records: Sequence[Record]) -> None:
        """Every submission has its row, unless the job is old enough to be dropped."""
        jobs = [r.job for r in records if r.type == JobSubmitted.name and is_job_id(r.job)]
        if not jobs:
            return
        rows = await self._connection.fetch(statement("verify_rows_missing"), jobs)
        missing = [str(row["id"]) for row in rows]
        cutoff = self._run.plan.cutoff(records[0].partition)
        if missing and cutoff is not None:
            rows = await self._connection.fetch(statement("verify_ended"), missing, cutoff)
            missing = sorted(set(missing) - {str(row["job"]) for row in rows})
            if rows:
                self._run.note("jobs that ended long enough ago have no rows: retention")
        for job in missing:
            self._run.found.add("row-missing", job, "expected a row in jobs")

    async def _check_end(self, partition: str, checkpoint: Checkpoint) -> None:
        """The checkpoint stands where the archive ends."""
        if checkpoint.halted is not None:
            self._run.found.add("projection-halted", partition, checkpoint.halted)
        cursor = self._run.cursor
        end = await self._connection.fetchval(
            statement("verify_last_seq"), partition, checkpoint.epoch
        )
        if end is not None and end != checkpoint.seq:
            got = f"expected seq {end}, where the archive ends, got {checkpoint.seq}"
            self._run.found.add("checkpoint-differs", partition, got)
        elif end is None and cursor.epoch == 0 and checkpoint.seq:
            self._run.note(f"the archive has no event of {partition} any more")

    async def _parked(self) -> None:
        for row in await self._connection.fetch(statement("verify_parked")):
            if self._run.wanted(row["partition"]):
                at = f"{row['partition']}:{row['epoch']}:{row['seq']}"
                self._run.found.add("event-parked", at, row["reason"])

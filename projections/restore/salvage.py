"""What is left of a lost log and is not in the archive: kept where it can be, and told where not.

A log that went back was written on: those events have numbers that the archive knows other events
by. Those of a job are kept if they go on where the archive leaves it, or begin it; others tell what
happened a second time, or to a job that went another way since.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec

from ...core import events as ev
from ...core.errors import MillstreamError
from ...core.events import Record
from ...core.reviving.jobs import revive
from ...core.reviving.schedules import OWN
from ...core.upcast import decode
from ..connection import translated
from ..rows import read_record
from ..statements import statement

PAGE = 1000


class Dropped(msgspec.Struct, frozen=True):
    """An event that is not kept, and why."""

    position: str
    type: str
    job: str
    reason: str


class Salvage(msgspec.Struct):
    """jobs: job → its events to be appended; own: events of the partition itself, in order."""

    jobs: dict[str, list[Record]] = {}
    own: list[Record] = []
    dropped: list[Dropped] = []

    @property
    def count(self) -> int:
        """How many events are kept."""
        return len(self.own) + sum(map(len, self.jobs.values()))

    def drop(self, records: Sequence[Record], reason: str) -> None:
        """Give events up."""
        self.dropped += [Dropped(one.position, one.type, one.job, reason) for one in records]


async def unarchived(connection: Any, remains: AsyncIterator[list[Record]]) -> list[Record]:
    """Those of the remaining records that the archive does not have, byte for byte, and never had:
    what retention dropped is over for good."""
    found: list[Record] = []
    async for records in remains:
        epochs = sorted({record.epoch for record in records})
        range_ = records[0].partition, epochs, records[0].seq, records[-1].seq
        with translated():
            rows = await connection.fetch(statement("archived_between"), *range_)
            dropped = await connection.fetch(statement("dropped_ranges"), *range_)
        archived = {record.position: record for record in map(read_record, rows)}
        found += [
            record
            for record in records
            if archived.get(record.position) != record and not _was_dropped(record, dropped)
        ]
    return found


def _was_dropped(record: Record, ranges: Sequence[Any]) -> bool:
    """Whether it is of these; one of the same number that was written later is another event."""
    return any(
        row["epoch"] == record.epoch
        and row["first_seq"] <= record.seq <= row["last_seq"]
        and record.time < row["dropped_at"]
        for row in ranges
    )


async def sort_out(connection: Any, records: Sequence[Record], handled: Collection[Any]) -> Salvage:
    """Which of the events that are not archived can go on in the new epoch.

    handled  (schedule, occurrence) that the archive has fired or skipped
    """
    found = Salvage()
    lives: dict[str, list[Record]] = {}
    for record in records:
        if record.job:
            lives.setdefault(record.job, []).append(record)
    for record in records:
        if not record.job:
            _sort_own(found, record, lives, handled)
    ids = list(lives)
    for first in range(0, len(ids), PAGE):
        part = ids[first : first + PAGE]
        archived = await lives_of(connection, part)
        for job in part:
            _sort_job(found, archived.get(job, []), lives[job])
    return found


async def lives_of(connection: Any, ids: Sequence[str]) -> dict[str, list[Record]]:
    """All archived events of some jobs, by job."""
    with translated():
        rows = await connection.fetch(statement("job_lives"), ids)
    found: dict[str, list[Record]] = {}
    for row in rows:
        record = read_record(row)
        found.setdefault(record.job, []).append(record)
    return found


def _sort_job(found: Salvage, archived: list[Record], records: list[Record]) -> None:
    try:
        revive(archived, records)
    except (MillstreamError, AssertionError) as error:
        found.drop(records, f"it does not go on where the archive leaves its job: {error}")
        return
    found.jobs[records[0].job] = records


def _sort_own(
    found: Salvage, record: Record, lives: dict[str, list[Record]], handled: Collection[Any]
) -> None:
    try:
        event = decode(record)
    except MillstreamError as error:
        found.drop([record], str(error))
        return
    match event:
        case ev.WorkerStarted() | ev.WorkerStopped() | ev.QueueRestored():
            found.drop([record], "it says nothing of jobs")
        case ev.ScheduleFired(cause=cause) if cause in OWN:
            if (event.schedule, event.occurrence) in handled:
                found.drop([record], "the archive has fired this occurrence before")
                found.drop(lives.pop(event.job_id, []), "its occurrence was fired before")
            else:
                found.own.append(record)
        case ev.ScheduleSkipped() if (event.schedule, event.occurrence) in handled:
            found.drop([record], "the archive has handled this occurrence before")
        case _:
            found.own.append(record)

"""A job as it was: the fold of its events up to an instant."""

import copy
from collections.abc import AsyncGenerator
from contextlib import aclosing

import asyncpg

from ...core.errors import HistoryLost, IllegalTransition, UnknownEvent, UnreadableEvent
from ...core.events import Record
from ...core.ids import is_id
from ...core.jobs import Job, advance, begin
from ...core.log import LogReader
from ...core.queue import Directory
from ...core.upcast import decode
from ..queries import checkpoints
from .difference import MOST_EVENTS, Difference
from .reading import END, PAGE, fetch_records, tail


class Folding:
    """A job on its way through its events. Like its row it goes no further than an event that
    cannot be applied."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._parked = False

    def take(self, record: Record) -> None:
        """Fold one more event. Raises HistoryLost if those before it are missing."""
        if self._parked:
            return
        if self.job is None and record.version != 1:
            raise HistoryLost(
                f"history of job {record.job}: expected its submission, got: event {record.version}"
            )
        try:
            event = decode(record)
            if self.job is None:
                self.job = begin(record, event)
            else:
                advance(self.job, record, event)
        except (UnknownEvent, UnreadableEvent, IllegalTransition):
            self._parked = True


class JobPast:
    """Reads the histories of jobs, whether archived or not."""

    def __init__(self, pool: asyncpg.Pool, reader: LogReader, directory: Directory) -> None:
        self._pool = pool
        self._reader = reader
        self._directory = directory

    async def records(self, job: str, until: int = END) -> AsyncGenerator[Record]:
        """The events of a job up to an instant, in order, but for the results of its steps."""
        if not is_id(job):
            return
        known = await checkpoints(self._pool)  # before the archive: the tail begins at or before
        version, partition = 0, None
        while page := await fetch_records(self._pool, "job_past", job, version, until, PAGE):
            for record in page:
                yield record
            version, partition = page[-1].version, page[-1].partition
            if len(page) < PAGE:
                break
        partitions = [partition] if partition else await self._directory.partitions_of(job)
        for partition in partitions:
            async for record in tail(self._reader, partition, known.get(partition), until):
                if record.job == job and record.version > version:
                    version = record.version
                    yield record

    async def unarchived(self, partition: str) -> list[Record]:
        """Events of a partition that belong to no job and are not archived yet."""
        known = (await checkpoints(self._pool)).get(partition)
        async with aclosing(tail(self._reader, partition, known, END)) as records:
            return [record async for record in records if not record.job]

    async def first(self, job: str) -> Record | None:
        """The first event of a job that is kept, its submission; None if there is no such job."""
        async with aclosing(self.records(job)) as records:
            async for record in records:
                return record
        return None

    async def job(self, job: str, at: int) -> Job | None:
        """The job as it was; None if it did not exist then."""
        folding = Folding()
        async with aclosing(self.records(job, at)) as records:
            async for record in records:
                folding.take(record)
        return folding.job

    async def difference(self, job: str, before: int, after: int) -> Difference | None:
        """What changed between two instants; None if the job did not exist at the second."""
        folding, events, count, old = Folding(), list[Record](), 0, None
        async with aclosing(self.records(job, after)) as records:
            async for record in records:
                if record.time > before:
                    if not count:
                        old = None if folding.job is None else copy.copy(folding.job)
                    count += 1
                    if len(events) < MOST_EVENTS:
                        events.append(record)
                folding.take(record)
        if folding.job is None:
            return None
        if not count:
            old = folding.job
        return Difference(old, folding.job, events, count - len(events))

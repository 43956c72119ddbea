"""Folds the archive into the shadow: a stride of many events per transaction.

A job that ends within a stride is written once, as it is at its end; of the others the last state
at the end of the stride. The sums of a stride are added at its end. A process that is killed loses
the stride it was in, and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import structlog

from ...core.errors import MillstreamError
from ...core.events import Record
from ...core.jobs import TERMINAL, Job
from ..connection import translated
from ..fold import fold, is_job_id, needed
from ..lane import slim
from ..partitions import job_day
from ..rows import read_slim_job
from ..statements import statement
from ..tables import UNSTORABLE, Unstorable, add_jobs, write_rows
from .held import Held
from .shadow import Shadow
from .source import Share, windows

STRIDE = 500_000
"""Events between two commits of a shard."""

HELD = 200_000
"""Jobs that are held to be written at the end of a stride; with more of them it ends."""

log = structlog.get_logger("millstream.rebuild")


class Overtaken(MillstreamError):
    """Another process moves the same rebuild."""


class Strides:
    """Moves one partition of a shadow on, for one shard.

    connection  for writing, whose path is the shadow alone; reader: another one
    seq         of the last event that is in the shadow
    make_days   makes partitions of `jobs` for days, over another connection
    told        called with how many events (of all shards) were folded
    """

    def __init__(
        self,
        connection: Any,
        reader: Any,
        shadow: Shadow,
        partition: str,
        share: Share,
        make_days: Callable[[list[int]], Awaitable[None]],
        told: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._shadow = shadow
        self._partition = partition
        self._share = share
        self._make_days = make_days
        self._told = told
        self._parked: set[str] = set()
        self._refused: dict[int, str] = {}
        self._known: dict[str, Job] = {}
        self._days: set[int] = set()
        self._pruned = False
        self._parked_live: set[str] = set()
        self._skipped_at: int | None = None
        self.seq = 0

    async def open(self) -> None:
        """Load where the shard stands."""
        at = self._partition, self._share.shard
        with translated():
            self.seq = await self._connection.fetchval(
                "SELECT seq FROM rebuild_progress WHERE partition = $1 AND shard = $2", *at
            )
            parked = await self._connection.fetch(statement("parked_jobs"), [self._partition])
            refused = await self._connection.fetch(
                self._shadow.sql("refused_events"), self._partition
            )
            self._pruned = await self._reader.fetchval(
                "SELECT EXISTS (SELECT FROM dropped_events WHERE partition = $1)", self._partition
            )
            live = await self._reader.fetch(statement("parked_jobs"), [self._partition])
        self._parked = {row["job"].decode() for row in parked}
        self._refused.update(refused)
        self._parked_live = {row["job"].decode() for row in live}
        self._known.clear()

    async def run(self, until: int, stride: int = STRIDE) -> None:
        """Fold up to the event `until`. Raises Unavailable, LogGap and Overtaken."""
        size = stride
        while self.seq < until:
            end = min(self.seq + size, until)
            try:
                with translated():
                    await self._stride(end)
                size = min(stride, size * 2)
            except Unstorable as error:
                # As the projector does: close in on the event that no column takes, and park it.
                size = max(1, (end - self.seq) // 2)
                event = self.seq + 1
                await self.open()
                if end == event:
                    log.warning(
                        "rebuild.parks", partition=self._partition, seq=event, reason=str(error)
                    )
                    self._refused[event] = str(error)

    async def _stride(self, end: int) -> None:
        held = Held()
        async with self._connection.transaction():
            at = self.seq
            coming = windows(self._reader, self._shadow, self._partition, at, end, self._share)
            async for window in coming:
                if window.records:
                    await self._fold(window.records, held)
                at = window.seq
                self._told(window.events)
                if len(held.jobs) > HELD:
                    break
            await coming.aclose()
            effect = held.effect()
            await self._prepare(effect.created)
            with _storing():
                await write_rows(self._connection, effect)
            move = self._partition, self._share.shard, self.seq, at, self._skipped_at
            if not await self._connection.fetch(statement("move_rebuild"), *move):
                raise Overtaken(f"another rebuild has moved {self._partition}: this one ends")
        self.seq = at
        for job in held.jobs.values():
            if job.state in TERMINAL or len(self._known) >= HELD:
                self._known.pop(job.id, None)
            else:
                self._known[job.id] = slim(job)

    async def _fold(self, records: list[Record], held: Held) -> None:
        wanted = needed(records, self._parked)
        previous = {job: found for job in wanted if (found := held.jobs.get(job))}
        stored = {job: found for job in wanted - previous.keys() if (found := self._known.get(job))}
        missing = sorted(filter(is_job_id, wanted - previous.keys() - stored.keys()))
        if missing:
            rows = await self._connection.fetch(
                statement("previous_jobs"), missing, missing[0], missing[-1]
            )
            stored |= {str(row["id"]): read_slim_job(row) for row in rows}
        previous |= stored
        if self._pruned:
            records = self._without_leftovers(records, wanted - previous.keys())
        effect = fold(records, previous, self._parked, self._refused)
        self._parked.update(one.record.job for one in effect.parked if one.record.job)
        ended = held.take(effect, stored.keys())
        if ended:
            await self._prepare(ended)
            with _storing():
                await add_jobs(self._connection, ended)
        await asyncio.sleep(0)

    def _without_leftovers(self, records: list[Record], unknown: set[str]) -> list[Record]:
        """The records without those of jobs whose beginning retention has dropped.

        What it dropped of a job that the live tables have parked events of was no beginning.
        """
        gone = set(filter(is_job_id, unknown)) - self._parked_live
        if not gone:
            return records
        last = max(record.time for record in records if record.job in gone)
        self._skipped_at = max(last, self._skipped_at or 0)
        return [record for record in records if record.job not in gone]

    async def _prepare(self, jobs: Iterable[Job]) -> None:
        """See to it that `jobs` has partitions for these."""
        days = {job_day(job.id) for job in jobs} - self._days
        if days:
            await self._make_days(sorted(days))
            self._days |= days


@contextmanager
def _storing() -> Generator[None]:
    try:
        yield
    except UNSTORABLE as error:
        raise Unstorable(f"{type(error).__name__}: {error}") from error

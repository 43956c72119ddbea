"""The restore of one queue: halt, salvage, make anew, open. Killed, it can be run again."""

from collections.abc import AsyncGenerator, Collection
from typing import Any

import msgspec

from ...core import events as ev
from ...core.events import Record, position
from ...core.restoring import PartitionRestore
from ...core.reviving.schedules import fields
from ...core.upcast import decode
from ..connection import translated
from ..rows import read_record
from ..statements import statement
from .findings import Finding, Moved
from .links import link
from .making import Maker, Tell
from .plan import Plan, read_plan
from .report import Jobs, PartitionReport, ranges
from .salvage import Salvage, sort_out, unarchived


class PartitionCourse:
    """The restore of one partition. `others`: those that are not lost."""

    def __init__(
        self,
        connection: Any,
        watch: Any,
        made: PartitionRestore,
        finding: Finding,
        others: Collection[str],
        by: ev.Command,
        tell: Tell,
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._made = made
        self._finding = finding
        self._others = others
        self._by = by
        self._tell = tell
        self._own: list[tuple[str, bytes]] = []

    async def run(self, *, dry_run: bool) -> PartitionReport:
        """Do it, or only tell what that would do. Raises Unavailable, Moved."""
        finding, made = self._finding, self._made
        partition, archived = finding.partition, finding.archived
        if not dry_run:
            # First: once it is halted nobody can tell how far the lost log was known to be.
            with translated():
                await self._connection.execute(
                    statement("note_loss"), partition, archived.epoch, archived.seq,
                    finding.known, finding.reason,
                )  # fmt: skip
            await made.condemn(finding.reason or "")
        with translated():
            async with self._connection.transaction(isolation="repeatable_read"):
                await self._check_still(self._connection)
                plan = await read_plan(self._connection, partition)
                await self._complete(plan)
                left = await unarchived(self._connection, self._remains())
                salvage = await sort_out(self._connection, left, plan.handled)
                for record in salvage.own:
                    plan.take(record)
                report = self._told(plan, salvage, left)
                if not dry_run:
                    await self._begin(report)
                maker = Maker(made, finding.epoch, salvage, self._tell, dry_run=dry_run)
                await maker.run(self._connection)
                if not dry_run:
                    await link(self._connection, made, finding.epoch, maker)
                    await self._finish(plan, salvage, maker)
        report.jobs, report.locks = maker.told, len(maker.locks) + len(plan.timed)
        if not dry_run:
            await self._open(report, plan.settings.mode)
        return report

    async def _remains(self) -> AsyncGenerator[list[Record]]:
        """What is left of the lost log."""
        aside, after = await self._made.is_aside(), "-"
        while records := await self._made.remains(after, aside=aside):
            yield records
            after = records[-1].entry

    def _told(self, plan: Plan, salvage: Salvage, left: list[Record]) -> PartitionReport:
        finding = self._finding
        partition, archived = finding.partition, finding.archived
        known = finding.known
        # What is left may go right on from the archive: then those very positions are not lost.
        first = archived.seq + 1
        kept = {record.seq for records in salvage.jobs.values() for record in records}
        kept |= {record.seq for record in salvage.own}
        if left and (left[0].epoch, left[0].seq) == (archived.epoch, first):
            known = max(known, left[-1].seq)
        else:
            kept = set()
        return PartitionReport(
            partition=partition,
            lost=finding.reason or "",
            archived=position(partition, archived.epoch, archived.seq),
            epoch=finding.epoch,
            unrecoverable=ranges(
                partition, archived.epoch, (n for n in range(first, known + 1) if n not in kept)
            ),
            after=position(partition, archived.epoch, max(known, archived.seq)),
            salvaged=salvage.count,
            dropped=salvage.dropped,
            jobs=Jobs(),
            schedules=sum(one.raw is not None for one in plan.schedules.found.values()),
            limits=len(plan.settings.bounds),
        )

    async def _begin(self, report: PartitionReport) -> None:
        finding = self._finding
        archived = finding.archived
        await self._check_still(self._watch)
        await self._made.set_aside()
        event = ev.QueueRestored(
            self._by.actor, self._by.reason, archived.epoch, archived.seq,
            max(finding.known, archived.seq), report.salvaged,
        )  # fmt: skip
        last = int(archived.entry.partition("-")[0])
        await self._made.begin(finding.epoch, last, event)

    async def _check_still(self, connection: Any) -> None:
        """Raises Moved if the tables are not where they were when this began."""
        with translated():
            rows = await connection.fetch(statement("load_checkpoints"), [self._finding.partition])
        archived = self._finding.archived
        if [(row["epoch"], row["seq"]) for row in rows] != [(archived.epoch, archived.seq)]:
            raise Moved(self._finding.partition)

    async def _complete(self, plan: Plan) -> None:
        """See to the firing of a job that is the last archived event: it comes in the same step."""
        partition, (epoch, seq, *_) = (
            self._finding.partition,
            msgspec.structs.astuple(self._finding.archived),
        )
        rows = await self._connection.fetch(
            statement("archived_between"), partition, [epoch], seq, seq
        )
        for record in map(read_record, rows):
            event = decode(record) if record.type == ev.JobSubmitted.name else None
            if isinstance(event, ev.JobSubmitted) and event.schedule and event.occurrence:
                fired = ev.ScheduleFired(event.schedule, event.occurrence, record.job)
                told = (fired.name, ev.body_of(fired))
                self._own.append(told)
                plan.take(
                    msgspec.structs.replace(record, type=told[0], job="", version=0, body=told[1])
                )

    async def _finish(self, plan: Plan, salvage: Salvage, maker: Maker) -> None:
        made, epoch = self._made, self._finding.epoch
        await made.append(
            epoch, [*self._own, *((record.type, record.body) for record in salvage.own)]
        )
        now = await made.now()
        locks = {
            digest: (f"{job}:{where}:{seq}", 0) for digest, (job, where, seq) in maker.locks.items()
        }
        for digest, (record, until) in plan.timed.items():
            if until > now:
                locks[digest] = f"{record.job}:{record.epoch}:{record.seq}", until - now
        await made.put_locks(locks)
        await made.put_settings(plan.settings)
        for name, one in plan.schedules.found.items():
            told = fields(one, maker.live)
            waits = one.raw is not None and not one.paused
            due = told.get("due") if waits else None
            at = int(due) if due else None
            if waits and one.buffered is not None:
                at = min(at or now, now)
            if told:
                await made.put_schedule(name, told, at)

    async def _open(self, report: PartitionReport, mode: str) -> None:
        """Open the partition; its report is kept before: once it is open, nobody makes it again."""
        archived = self._finding.archived
        with translated():
            await self._connection.execute(
                statement("note_report"), report.partition, archived.epoch, report.epoch,
                msgspec.json.encode(report),
            )  # fmt: skip
        await self._made.hasten(self._others)
        await self._check_still(self._watch)
        await self._made.end(report.epoch, mode)
        await note_restored(self._connection, report.partition, report.epoch)


async def note_restored(connection: Any, partition: str, epoch: int) -> None:
    """Keep that a partition is open in this epoch, unless that is known."""
    with translated():
        await connection.execute(statement("note_restored"), partition, epoch)

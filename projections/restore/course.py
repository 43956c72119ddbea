"""The course of a restore: halt, salvage, make anew, open. Killed at any point it can be run again.

Nothing is deleted before the archive was read; the queue answers LOGLOST until all is there. The
projector goes on by itself when it sees that the new epoch begins where the tables end.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec

from ...core import events as ev
from ...core.config import Settings
from ...core.connection import connect
from ...core.errors import MillstreamError
from ...core.events import Record, parse_position, position
from ...core.keys import Keys
from ...core.log import START, LogReader
from ...core.queue import Directory
from ...core.restoring import BATCH, PartitionRestore
from ...core.reviving.jobs import NONE, QUEUED, Revived, at_time, released, revive
from ...core.reviving.schedules import fields
from ...core.upcast import decode
from ..connection import connect_once, translated
from ..queries import Checkpoint
from ..rows import read_record
from ..statements import statement
from .findings import Finding, examine
from .plan import Plan, read_plan
from .report import Jobs, PartitionReport, Range, Report
from .salvage import Salvage, lives_of, sort_out, unarchived

STATEMENT_TIMEOUT = 3600.0

Tell = Callable[[str, int], None]
"""Told the partition, and how many jobs were made of it."""


class Moved(MillstreamError):
    """The projector went on while a restore read the archive."""


async def restore(
    settings: Settings,
    *,
    by: ev.Command,
    dry_run: bool,
    partitions: Sequence[str] = (),
    acknowledged: Sequence[str] | None = None,
    declare_gaps: bool = False,
    tell: Tell = lambda partition, jobs: None,
) -> Report:
    """Restore every partition whose log is lost (or those given), or only say what that would do.

    acknowledged  positions that clients hold: the report tells which of them are lost
    declare_gaps  where PostgreSQL is older than what a log still holds, and no export has what is
                  missing: say so in the tables, and let the projector go on behind the gap
    Raises Unavailable, Moved.
    """
    async with _servers(settings) as (connection, watch, redis, keys):
        reader, directory = LogReader(redis, keys), Directory(redis, keys)
        report = Report(dry_run, [], [])
        found = await _checkpoints(connection, reader, directory, dry_run=dry_run)
        for partition, place in found.items():
            if partitions and partition not in partitions:
                continue
            made = PartitionRestore(directory.queue(partition), redis, keys)
            finding = await examine(connection, reader, made, place)
            if finding.gap is not None:
                report.gaps.append(_gap(finding, finding.gap))
                if declare_gaps and not dry_run:
                    await declare(connection, finding, finding.gap, by)
                    report.declared = True
            elif finding.reason is None:
                report.fine.append(partition)
            else:
                course = _Course(connection, watch, made, finding, by, tell)
                report.partitions.append(await course.run(dry_run=dry_run))
        if acknowledged is not None:
            report.acknowledged = await _lost(connection, report, acknowledged)
    return report


async def _checkpoints(
    connection: Any, reader: LogReader, directory: Directory, *, dry_run: bool
) -> dict[str, Checkpoint]:
    """Of every partition that is in the tables or in Redis; at 0 where the tables never had it."""
    with translated():
        rows = await connection.fetch(statement("all_checkpoints"))
    found = {partition: Checkpoint(*place) for partition, *place in rows}
    for partition in await directory.partitions():
        if partition not in found:
            epoch = (await reader.head(partition)).epoch
            if not dry_run:
                with translated():
                    await connection.execute(statement("make_checkpoint"), partition, epoch)
            found[partition] = Checkpoint(epoch, 0, START, None)
    return found


def _gap(finding: Finding, record: Record) -> Range:
    name, epoch = finding.partition, finding.archived.epoch
    return Range(
        position(name, epoch, finding.archived.seq + 1), position(name, epoch, record.seq - 1)
    )


async def declare(connection: Any, finding: Finding, record: Record, by: ev.Command) -> None:
    """Say that the events up to `record` are nowhere. Raises Moved."""
    archived = finding.archived
    with translated():
        done = await connection.fetch(
            statement("declare_gap"), finding.partition, archived.epoch, archived.seq,
            record.epoch, archived.seq + 1, record.seq - 1, START, by.actor, by.reason,
        )  # fmt: skip
    if not done:
        raise Moved(f"the projector went on with {finding.partition} meanwhile: run it again")


@contextlib.asynccontextmanager
async def _servers(settings: Settings) -> AsyncGenerator[tuple[Any, Any, Any, Keys]]:
    """A connection for snapshots and one that sees what is now, a client, and its keys."""
    async with contextlib.AsyncExitStack() as stack:
        redis = connect(settings.redis_url, timeout=max(30.0, settings.command_timeout))
        stack.push_async_callback(redis.aclose)
        connections: list[Any] = []
        for _ in range(2):
            connections.append(
                await connect_once(settings.postgres_dsn, timeout=STATEMENT_TIMEOUT, role="restore")
            )
            stack.callback(connections[-1].terminate)
        yield (*connections, redis, Keys(settings.namespace))


class _Course:
    """The restore of one partition."""

    def __init__(
        self,
        connection: Any,
        watch: Any,
        made: PartitionRestore,
        finding: Finding,
        by: ev.Command,
        tell: Tell,
    ) -> None:
        self._connection = connection
        self._watch = watch
        self._made = made
        self._finding = finding
        self._by = by
        self._tell = tell
        self._locks: dict[str, tuple[str, int, int]] = {}
        self._live: set[str] = set()
        self._own: list[tuple[str, bytes]] = []
        self._report = Jobs()

    async def run(self, *, dry_run: bool) -> PartitionReport:
        finding, made = self._finding, self._made
        partition, archived = finding.partition, finding.archived
        if not dry_run:
            await made.condemn(finding.reason or "")
            with translated():
                await self._connection.execute(
                    statement("note_loss"), partition, archived.epoch, archived.seq,
                    finding.known, finding.reason,
                )  # fmt: skip
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
                await self._make_jobs(salvage, dry_run=dry_run)
                if not dry_run:
                    await self._finish(plan, salvage, report)
        report.jobs, report.locks = self._report, len(self._locks) + len(plan.timed)
        if not dry_run:
            await self._note(report)
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
            unrecoverable=_ranges(
                partition, archived.epoch, (n for n in range(first, known + 1) if n not in kept)
            ),
            after=position(partition, archived.epoch, max(known, archived.seq)),
            salvaged=salvage.count,
            dropped=salvage.dropped,
            jobs=self._report,
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
            raise Moved(
                f"the projector went on with {self._finding.partition} meanwhile: run it again"
            )

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

    async def _make_jobs(self, salvage: Salvage, *, dry_run: bool) -> None:
        batch: list[str] = []
        done: set[str] = set()
        async for row in self._connection.cursor(
            statement("live_jobs"), self._finding.partition, prefetch=BATCH
        ):
            batch.append(row["id"])
            if len(batch) == BATCH:
                await self._make(batch, salvage, dry_run=dry_run)
                done.update(job for job in batch if job in salvage.jobs)
                batch = []
        done.update(batch)
        batch += [job for job in salvage.jobs if job not in done]
        for first in range(0, len(batch), BATCH):
            await self._make(batch[first : first + BATCH], salvage, dry_run=dry_run)

    async def _make(self, ids: Sequence[str], salvage: Salvage, *, dry_run: bool) -> None:
        lives = await lives_of(self._connection, ids)
        now = await self._made.now()
        revived: list[Revived] = []
        for job in ids:
            fresh = at_time(salvage.jobs.get(job, []), now)
            try:
                one = revive(lives.get(job, []), fresh)
            except (MillstreamError, AssertionError) as error:
                self._report.unreadable[job] = str(error) or "its submission is not archived"
                continue
            revived.append(one)
            self._count(one, salvaged=bool(fresh))
        seqs = [0] * len(revived)
        if revived and not dry_run:
            seqs = await self._made.make(self._finding.epoch, revived)
        for one, seq in zip(revived, seqs, strict=True):
            self._hold(one, seq, salvage)
        self._tell(self._finding.partition, len(ids))

    def _count(self, one: Revived, *, salvaged: bool) -> None:
        told = self._report
        if salvaged:
            told.salvaged.append(one.job.id)
        if one.code != NONE:
            self._live.add(one.job.id)
        if released(one):
            told.released.append(one.job.id)
        if one.code == QUEUED:
            told.queued += 1
        elif one.code != NONE:
            told.waiting += 1
        elif one.events and not salvaged:
            told.ended.append(one.job.id)

    def _hold(self, one: Revived, seq: int, salvage: Salvage) -> None:
        """Note the lock that a job holds: the latest spec stands, for a lock may be taken over."""
        if one.lock is None:
            return
        digest, spec = one.lock
        epoch, at = spec.epoch, spec.seq
        fresh = [record.seq for record in salvage.jobs.get(one.job.id, [])]
        if spec.seq in fresh and spec.epoch != self._finding.epoch:
            epoch, at = self._finding.epoch, seq + fresh.index(spec.seq)
        before = self._locks.get(digest)
        if before is None or before[1:] < (epoch, at):
            self._locks[digest] = one.job.id, epoch, at

    async def _finish(self, plan: Plan, salvage: Salvage, report: PartitionReport) -> None:
        made, epoch = self._made, self._finding.epoch
        await made.append(
            epoch, [*self._own, *((record.type, record.body) for record in salvage.own)]
        )
        now = await made.now()
        locks = {
            digest: (f"{job}:{where}:{seq}", 0) for digest, (job, where, seq) in self._locks.items()
        }
        for digest, (record, until) in plan.timed.items():
            if until > now:
                locks[digest] = f"{record.job}:{record.epoch}:{record.seq}", until - now
        await made.put_locks(locks)
        await made.put_settings(plan.settings.bounds, sorted(plan.settings.types))
        for name, one in plan.schedules.found.items():
            told = fields(one, self._live)
            waits = one.raw is not None and not one.paused
            due = told.get("due") if waits else None
            at = int(due) if due else None
            if waits and one.buffered is not None:
                at = min(at or now, now)
            if told:
                await made.put_schedule(name, told, at)
        await self._check_still(self._watch)
        await made.end(epoch, plan.settings.mode)

    async def _note(self, report: PartitionReport) -> None:
        archived = self._finding.archived
        with translated():
            await self._connection.execute(
                statement("note_restored"), report.partition, archived.epoch, report.epoch,
                msgspec.json.encode(report),
            )  # fmt: skip


def _ranges(partition: str, epoch: int, seqs: Any) -> list[Range]:
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = found[-1][0], seq
        else:
            found.append((seq, seq))
    return [Range(*(position(partition, epoch, seq) for seq in ends)) for ends in found]


async def _lost(connection: Any, report: Report, positions: Sequence[str]) -> list[str]:
    """Those of the positions that neither the archive has nor a log that is fine."""
    broken = {one.partition: parse_position(one.archived) for one in report.partitions}
    lost: list[str] = []
    for text in positions:
        partition, epoch, seq = parse_position(text)
        if partition not in broken:
            continue
        with translated():
            found = await connection.fetchval(
                "SELECT 1 FROM job_events WHERE partition = $1 AND epoch = $2 AND seq = $3",
                partition, epoch, seq,
            )  # fmt: skip
        if found is None:
            lost.append(text)
    return lost

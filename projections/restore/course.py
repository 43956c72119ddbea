"""The course of a restore: what is wrong with which queue, and one after another brought back.

Nothing is deleted before the archive was read; a queue answers LOGLOST until all of it is there.
The projector goes on by itself when it sees that the new epoch begins where the tables end.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ...core import events as ev
from ...core.config import Settings
from ...core.connection import connect
from ...core.errors import UnknownQueue
from ...core.events import parse_position
from ...core.keys import Keys
from ...core.log import START, LogReader
from ...core.queue import Directory
from ...core.restoring import PartitionRestore
from ...core.subjects import SubjectKeys
from ..connection import connect_once, translated
from ..queries import Checkpoint
from ..statements import statement
from .findings import Finding, examine
from .gaps import declare, gap_of
from .making import Tell
from .partition import PartitionCourse, note_restored
from .report import Report
from .subjects import publish

STATEMENT_TIMEOUT = 3600.0


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
    Raises Unavailable, UnknownQueue, Moved.
    """
    async with _servers(settings) as (connection, watch, redis, keys):
        reader, directory = LogReader(redis, keys), Directory(redis, keys)
        report = Report(dry_run, [], [])
        places = await _checkpoints(connection, reader, directory, dry_run=dry_run)
        for queue in set(partitions).difference(places):
            raise UnknownQueue(queue, places)
        made = {name: PartitionRestore(directory.queue(name), redis, keys) for name in places}
        wanted, lost = set(partitions or places), list[str]()
        for name, place in places.items():
            finding = await examine(connection, reader, made[name], place)
            if finding.reason is not None:
                lost.append(name)
            elif name in wanted:
                await _take_up(connection, report, finding, by if declare_gaps else None)
        others = places.keys() - lost
        if not dry_run and not wanted.isdisjoint(lost):
            await publish(connection, SubjectKeys(redis, keys))  # before anything runs
        for name in filter(wanted.__contains__, lost):
            # Again: bringing back those before it may have taken long.
            finding = await examine(connection, reader, made[name], places[name])
            if finding.reason is None:
                await _take_up(connection, report, finding, by if declare_gaps else None)
                continue
            course = PartitionCourse(connection, watch, made[name], finding, others, by, tell)
            report.partitions.append(await course.run(dry_run=dry_run))
        if acknowledged is not None:
            report.acknowledged = await _lost(connection, report, acknowledged)
    return report


async def _take_up(
    connection: Any, report: Report, finding: Finding, by: ev.Command | None
) -> None:
    """See to a partition that is not lost; `by` declares what is missing of it before its log."""
    if finding.gap is not None:
        report.gaps.append(gap_of(finding, finding.gap))
        if by is not None and not report.dry_run:
            await declare(connection, finding, finding.gap, by)
            report.declared = True
        return
    report.fine.append(finding.partition)
    if not report.dry_run:
        await note_restored(connection, finding.partition, finding.head.epoch)


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

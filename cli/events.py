"""`millstream events`: the log itself, read from the servers and not through the API."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from ..core.config import Settings
from ..core.errors import MillstreamError, Unavailable
from ..core.events import Record, parse_position
from ..core.ids import is_id
from ..core.log import LogReader
from ..core.queue import Directory
from . import options
from .client import REFUSED, UNREACHABLE, fail
from .export import export
from .jobs import ListByDefault
from .output import print_line
from .sources import log_sources

if TYPE_CHECKING:
    from ..projections.history import History

_BLOCK_MS = 500


class Refused(MillstreamError):
    """What was asked for cannot be there."""


@click.group("events", cls=ListByDefault)
def command() -> None:
    """The event log: list or follow it (what it does without a word after it), or export it.

    \b
    millstream events --queue emails --follow
    millstream events export --format parquet --out audit-2027-01
    """


command.add_command(export)


@command.command("list")
@click.option("--job", metavar="ID", help="Only the events of this job.")
@click.option("--queue", "queues", multiple=True, help="Only these queues; default: all.")
@click.option(
    "--from-position",
    "positions",
    multiple=True,
    metavar="POSITION",
    help="Go on after this event; one for each queue to be read.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@options.data_option
def list_(
    job: str | None,
    queues: tuple[str, ...],
    positions: tuple[str, ...],
    follow: bool,
    data: Path | None,
) -> None:
    """The event log as JSON lines: the archive and then the stream, as one sequence.

    Within a queue the order is that of the log, with neither gaps nor repetitions; several queues
    are joined by time. Reads PostgreSQL and Redis, both named by the settings or by --data.

    \b
    millstream events --queue emails --follow
    millstream events --job 0198f6f1-…
    millstream events --from-position emails:1:4711
    """
    with options.connected(options.load(), data) as settings:
        try:
            asyncio.run(_tell(settings, job, queues, positions, follow))
        except KeyboardInterrupt:
            pass  # how --follow is ended
        except BrokenPipeError:
            # `millstream events | head`: nobody reads any more; Python's own flush must not fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Refused as error:
            fail(str(error), REFUSED)
        except Unavailable as error:
            fail(str(error), UNREACHABLE)


async def _tell(
    settings: Settings,
    job: str | None,
    queues: tuple[str, ...],
    positions: tuple[str, ...],
    follow: bool,
) -> None:
    from ..projections.history import History

    async with log_sources(settings, block_ms=_BLOCK_MS) as (pool, reader, directory):
        history = History(pool, reader, block_ms=_BLOCK_MS)
        if job is None:
            wanted = await _starts(directory, reader, queues, positions)
            for partition, seq in wanted.items():
                await history.start(partition, seq)
            known, version = set(wanted), 0
        else:
            known, version = await _begin_with_job(history, directory, job)
        async for record in history.backlog():
            version = _show([record], job, version)
        if job is not None and version == 0:
            raise Refused(f"--job: there is no job {job}")
        sys.stdout.flush()
        async for records in history.coming() if follow else _nothing():
            version = _show(records, job, version)
            sys.stdout.flush()
            if not (records or queues or positions or job):
                for partition in set(await directory.partitions()) - known:
                    known.add(partition)
                    await history.start(partition)


async def _starts(
    directory: Directory, reader: LogReader, queues: Iterable[str], positions: Iterable[str]
) -> dict[str, int]:
    """Partition → the seq after which to begin. Raises Refused."""
    known = await directory.partitions()
    wanted = dict.fromkeys(queues, 0)
    for text in positions:
        try:
            partition, _, seq = parse_position(text)
        except ValueError as error:
            raise Refused(f"--from-position: {error}") from None
        head = (await reader.head(partition)).seq
        if seq > head:
            raise Refused(
                f"--from-position: expected an event that exists, got {text};"
                f" the last one of {partition} is {head}"
            )
        wanted[partition] = seq
    for partition in wanted:
        if partition not in known:
            names = ", ".join(known) or "none"
            raise Refused(f"expected a queue that was used before ({names}), got {partition!r}")
    return wanted or dict.fromkeys(known, 0)


async def _begin_with_job(history: History, directory: Directory, job: str) -> tuple[set[str], int]:
    """Show what is archived of a job; the partitions it may live in, and its last version."""
    if not is_id(job):
        raise Refused(f"--job: expected the id of a job (a UUIDv7), got {job!r}")
    partitions = await directory.partitions_of(job)
    if not partitions:
        raise Refused(f"--job: there is no job {job}")
    version = 0
    for partition in partitions:
        version = _show(await history.start_at_job(partition, job), job, version)
    return set(partitions), version


def _show(records: Iterable[Record], job: str | None, version: int) -> int:
    """Print the records that are asked for; the version of the last one of the job."""
    from ..api.views import event_of

    for record in records:
        if job is not None:
            if record.job != job or record.version <= version:
                continue
            version = record.version
        print_line(msgspec.json.encode(event_of(record)))
    return version


async def _nothing() -> AsyncGenerator[list[Record]]:
    for records in ():
        yield records

"""`millstream events`: the log itself, read from the servers and not through the API."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import rich_click as click

from ..core.config import Settings
from ..core.errors import MillstreamError
from ..core.events import KINDS, parse_position
from ..core.ids import is_id
from ..core.log import LogReader
from ..core.queue import Directory
from . import options
from .client import REFUSED, fail
from .event_lines import Enough, Lines
from .export import export
from .instants import between
from .jobs import ListByDefault
from .sources import log_sources

if TYPE_CHECKING:
    from ..projections.history import History
    from ..projections.telling import EventFilter

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
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAMES",
    callback=options.several,
    help="Only these queues, with commas or repeated; default: all.",
)
@click.option(
    "--from-position",
    "positions",
    multiple=True,
    metavar="POSITION",
    help="Go on after this event; one for each queue to be read.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="EVENTS",
    callback=options.several,
    help="Such as job.failed; several with commas, or repeated.",
)
@click.option("--actor", metavar="NAME", help="Only what this one did by a command.")
@click.option("--from", "begin", metavar="TIME", help="Only events since then.")
@click.option("--to", "end", metavar="TIME", help="Only events before then.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@options.data_option
def list_(
    job: str | None,
    queues: tuple[str, ...],
    positions: tuple[str, ...],
    types: tuple[str, ...],
    actor: str | None,
    begin: str | None,
    end: str | None,
    limit: int | None,
    follow: bool,
    data: Path | None,
) -> None:
    """The event log as JSON lines: the archive and then the stream, as one sequence.

    Within a queue the order is that of the log, with neither gaps nor repetitions; several queues
    are joined by time. Reads PostgreSQL and Redis, both named by the settings or by --data.

    \b
    millstream events --queue emails --follow
    millstream events --job 0198f6f1-…
    millstream events --actor ada --from 2027-01-31T08:00:00Z
    millstream events --type job.failed,job.cancelled
    millstream events --from-position emails:1:4711
    """
    asked = _Asked(job, queues, positions, _filter(types, actor, begin, end), limit, follow)
    with options.connected(options.load(), data) as settings:
        try:
            asyncio.run(_tell(settings, asked))
        except (KeyboardInterrupt, Enough):
            pass  # the first is how --follow is ended
        except BrokenPipeError:
            # `millstream events | head`: nobody reads any more; Python's own flush must not fail
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Refused as error:
            fail(str(error), REFUSED)


class _Asked(NamedTuple):
    """What the options say."""

    job: str | None
    queues: tuple[str, ...]
    positions: tuple[str, ...]
    wanted: EventFilter
    limit: int | None
    follow: bool


def _filter(
    types: tuple[str, ...], actor: str | None, begin: str | None, end: str | None
) -> EventFilter:
    from ..projections.telling import EventFilter

    for name in types:
        if name not in KINDS:
            fail(f"--type: expected one of {', '.join(sorted(KINDS))}, got {name!r}", REFUSED)
    return EventFilter(types, actor, *between(begin, end))


async def _tell(settings: Settings, asked: _Asked) -> None:
    from ..projections.history import History

    async with log_sources(settings, block_ms=_BLOCK_MS) as (pool, reader, directory):
        history = History(pool, reader, block_ms=_BLOCK_MS, types=asked.wanted.possible)
        lines = Lines(asked.job, asked.wanted, asked.limit)
        if asked.job is None:
            known = await _begin(history, pool, directory, reader, asked)
        else:
            known = await _begin_with_job(history, directory, asked.job, lines)
        async with aclosing(history.backlog()) as backlog:
            async for record in backlog:
                lines.show([record])
        if asked.job is not None and lines.version == 0:
            raise Refused(f"--job: there is no job {asked.job}")
        sys.stdout.flush()
        if asked.follow:
            await _follow(history, directory, asked, lines, known)


async def _follow(
    history: History, directory: Directory, asked: _Asked, lines: Lines, known: set[str]
) -> None:
    async with aclosing(history.coming()) as coming:
        async for records in coming:
            lines.show(records)
            sys.stdout.flush()
            if not (records or asked.queues or asked.positions or asked.job):
                for partition in set(await directory.partitions()) - known:
                    known.add(partition)
                    await history.start(partition)


async def _begin(
    history: History, pool: Any, directory: Directory, reader: LogReader, asked: _Asked
) -> set[str]:
    """Start the logs that are asked for; which they are. Raises Refused."""
    from ..projections.telling import first_place

    wanted = await _starts(pool, directory, reader, asked)
    for partition, seq in wanted.items():
        if seq:
            await history.start(partition, seq)
        else:
            place = await first_place(pool, partition, asked.wanted.begin)
            await history.start(partition, place.seq, place.entry)
    return set(wanted)


async def _starts(
    pool: Any, directory: Directory, reader: LogReader, asked: _Asked
) -> dict[str, int]:
    """Partition → the seq after which to begin. Raises Refused."""
    from ..projections.history import last_seq

    known = await directory.partitions()
    wanted = dict.fromkeys(asked.queues, 0)
    for text in asked.positions:
        try:
            partition, _, seq = parse_position(text)
        except ValueError as error:
            raise Refused(f"--from-position: {error}") from None
        head = await last_seq(pool, reader, partition)
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


async def _begin_with_job(
    history: History, directory: Directory, job: str, lines: Lines
) -> set[str]:
    """Show what is archived of a job; the partitions it may live in. Raises Refused."""
    if not is_id(job):
        raise Refused(f"--job: expected the id of a job (a UUIDv7), got {job!r}")
    partitions = await directory.partitions_of(job)
    if not partitions:
        raise Refused(f"--job: there is no job {job}")
    for partition in partitions:
        lines.show(await history.start_at_job(partition, job))
    return set(partitions)

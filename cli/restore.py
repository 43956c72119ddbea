"""`millstream restore`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import rich_click as click

from ..core.errors import MillstreamError
from . import options
from .choices import whoami
from .client import REFUSED, fail


class Incomplete(MillstreamError):
    """Events are in neither the tables nor the log, and that was not declared."""


@click.command("restore")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--queue", "queues", multiple=True, help="Only this queue. May be repeated.")
@click.option("--reason", default="", help="Written into the log, for those who read it later.")
@click.option(
    "--acknowledged",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of positions that clients were told, one a line: the report says which are lost.",
)
@click.option(
    "--declare-gaps",
    is_flag=True,
    help="Where PostgreSQL misses events that nothing has any more: say so, and go on behind them.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file as well.",
)
@options.data_option
def command(
    dry_run: bool,
    queues: tuple[str, ...],
    reason: str,
    acknowledged: Path | None,
    declare_gaps: bool,
    report: Path | None,
    data: Path | None,
) -> None:
    """Bring queues back from the archive whose log in Redis was lost or has gone back.

    Queues whose log is fine are left alone. Jobs that ran when it was lost are queued again, and
    may run a second time. Prints a report (JSON): what was made again, and which positions could
    not be recovered. Run it again if it was interrupted.

    \b
    millstream restore --dry-run
    millstream restore --reason "disk of redis-1 died" --report restore.json
    """
    positions = None if acknowledged is None else _positions(acknowledged)
    if report is not None:
        report.open("ab").close()  # before anything is done that could not be told
    with options.connected(options.load(), data) as settings:
        from ..core.events import Command
        from ..projections.restore.course import restore

        by = Command(actor=whoami(), reason=reason)
        found = asyncio.run(
            restore(
                settings,
                by=by,
                dry_run=dry_run,
                partitions=queues,
                acknowledged=positions,
                declare_gaps=declare_gaps,
                tell=_Count().tell,
            )
        )
    text = msgspec.json.format(msgspec.json.encode(found))
    print(text.decode())
    if report is not None:
        report.write_bytes(text + b"\n")
    if found.gaps and not found.declared:
        named = ", ".join(f"{gap.first} to {gap.last}" for gap in found.gaps)
        raise Incomplete(
            f"{named}: neither the tables nor the log have these events, so PostgreSQL is an older"
            " copy, or new. `millstream import` takes them from an export; if there is none, run"
            " this again with --declare-gaps"
        )


def _positions(file: Path) -> list[str]:
    from ..core.events import parse_position

    found = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    for number, text in enumerate(found, 1):
        try:
            parse_position(text)
        except ValueError as error:
            fail(f"{file}, line {number}: {error}", REFUSED)
    return found


class _Count:
    """Tells how many jobs were made, where somebody looks on."""

    def __init__(self) -> None:
        self._made = 0

    def tell(self, partition: str, jobs: int) -> None:
        self._made += jobs
        if sys.stderr.isatty():
            print(f"\r{partition}: {self._made:,} jobs", end="\n", file=sys.stderr)

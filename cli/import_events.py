"""`millstream import`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from ..core.errors import UnknownQueue
from . import options
from .bars import events_bar
from .choices import whoami


@click.command("import")
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--queue", help="Only the events of this queue.")
@click.option(
    "--declare-gaps",
    is_flag=True,
    help="Where neither the archive nor these exports have events: say so, and go on behind them.",
)
@click.option("--reason", default="", help="Why that is so, for those who read it later.")
@options.data_option
def command(
    folders: tuple[Path, ...],
    queue: str | None,
    declare_gaps: bool,
    reason: str,
    data: Path | None,
) -> None:
    """Bring the events of exports back into PostgreSQL, archive and tables.

    For a database that was lost, or is older than what the logs still hold. Folders as `millstream
    events export` makes them, in the order of their events; each file is held to its hash first.
    What the archive has already is passed over, so it can be run again. Stop the projector
    meanwhile; afterwards it goes on in the logs.

    \b
    millstream import audit-2026-04 audit-2026-05
    """
    if queue is not None:
        _require(queue, folders)
    with options.connected(options.load(), data) as settings:
        from ..core.events import Command
        from ..projections.restore.imports import Importer

        by = Command(whoami(), reason) if declare_gaps else None

        async def take() -> None:
            importer = Importer(settings.postgres_dsn, by)
            try:
                for folder in folders:
                    with events_bar() as (begin, advance):
                        begin(_events_of(folder, queue), 0)
                        count = await importer.take_export(folder, queue, advance)
                    print(f"{folder}: {count} events imported")
            finally:
                importer.close()

        asyncio.run(take())


def _events_of(folder: Path, queue: str | None) -> int:
    from ..core.export import load

    manifest = load(folder)
    files = [] if manifest is None else manifest.files
    return sum(file.count for file in files if queue in (None, file.queue))


def _require(queue: str, folders: tuple[Path, ...]) -> None:
    from ..core.export import load

    manifests = filter(None, map(load, folders))
    names = {each.queue for manifest in manifests for each in manifest.queues}
    if queue not in names:
        raise UnknownQueue(queue, names)

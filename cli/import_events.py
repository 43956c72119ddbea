"""`millstream import`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from . import options


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@options.data_option
def command(files: tuple[Path, ...], data: Path | None) -> None:
    """Bring exported events (JSON lines) back into PostgreSQL, archive and tables.

    For a database that was lost, or is older than what the logs still hold. Files in the order of
    their events; those that the archive has already are passed over, so it can be run again. Stop
    the projector meanwhile; afterwards it goes on in the logs.

    \b
    millstream import export/default.000001.jsonl export/default.000002.jsonl
    """
    with options.connected(options.load(), data) as settings:
        from ..projections.restore.imports import Importer, read_lines

        async def take() -> None:
            importer = Importer(settings.postgres_dsn)
            try:
                for file in files:
                    print(f"{file}: {await importer.take(read_lines(file))} events imported")
            finally:
                importer.close()

        asyncio.run(take())

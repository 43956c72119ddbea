"""`millstream projector`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from . import options


@click.command("projector")
@options.data_option
def command(data: Path | None) -> None:
    """Fold the event log into PostgreSQL.

    Keeps the archive of events, the table of jobs and the statistics. The effect of each event is
    exactly once however many projectors run and whenever one is killed; a second one only
    shortens the pause when the first dies.

    \b
    millstream projector
    """
    settings = options.load()
    with options.role("projector", settings, data) as found:
        from ..projections.service import serve

        serve(found)

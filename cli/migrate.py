"""`millstream migrate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import rich_click as click

from . import options


@click.command("migrate")
@options.data_option
def command(data: Path | None) -> None:
    """Bring the PostgreSQL schema up to date.

    Prints the migrations it applied. Safe to run again and from several hosts at once; `millstream
    up` does it by itself.

    \b
    millstream migrate
    """
    with options.connected(options.load(), data) as found:
        from ..projections.migrations import migrate

        applied = asyncio.run(migrate(found.postgres_dsn))
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("up to date")

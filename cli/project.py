"""`millstream project`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from . import options

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..projections.own import Projection


@click.command("project")
@click.option(
    "--app",
    "apps",
    multiple=True,
    required=True,
    metavar="MODULE_OR_FILE",
    help="Where your projections are: a module (shop.tables) or a file. May be repeated.",
)
@options.data_option
def command(apps: tuple[str, ...], data: Path | None) -> None:
    """Run projections of your own: tables made of all events there ever were, and of what comes.

    See docs/rebuild.md for how one is written.

    \b
    millstream project --app examples/per_hour.py
    """
    settings = options.load()
    with options.role("own projections", settings, data) as found:
        asyncio.run(_run(found, list(load(apps).values())))


def load(apps: tuple[str, ...]) -> dict[str, Projection]:
    """The projections of some modules, by name."""
    from ..consumers.loading import load_module
    from ..projections.own.projection import checked, projections_in

    return checked([one for app in apps for one in projections_in(load_module(app))])


async def _run(settings: Settings, projections: list[Projection]) -> None:
    from ..core.ready import notify_ready
    from ..projections.own.runner import Runner

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notify_ready()
    await Runner(settings.postgres_dsn, projections).run(stop)

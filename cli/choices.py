"""Options of commands that change jobs and queues: which jobs, who does it, and why."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any

import rich_click as click

Command = Callable[..., None]

CONDITIONS = (
    "state", "type", "queue", "tag", "created_after", "created_before", "error", "fingerprint",
    "command",
)  # fmt: skip

_FILTERS = (
    click.option("--state", "state", multiple=True, help="May be repeated, or hold several."),
    click.option("--type", "type", help="Only this job type."),
    click.option("--queue", help="Only this queue."),
    click.option("--tag", help="Only jobs with this tag."),
    click.option("--created-after", metavar="TIME", help="As 2027-01-31T08:00:00Z."),
    click.option("--created-before", metavar="TIME"),
    click.option("--error", metavar="TEXT", help="Only jobs whose error holds this text."),
    click.option("--fingerprint", metavar="HEX", help="Only jobs that failed so; see `dead`."),
    click.option("--command", metavar="ID", help="Only jobs that were run again by this command."),
)

_BY = (
    click.option("--reason", default="", help="Why; kept in the event."),
    click.option(
        "--actor",
        default=lambda: whoami(),
        show_default="the user of this shell",
        help="Who; kept in the event.",
    ),
)

_BETWEEN = (
    click.option("--from", "from", metavar="TIME", required=True, help="The first instant."),
    click.option("--to", "to", metavar="TIME", help="The second one.  [default: now]"),
)


def whoami() -> str:
    """The user of this shell; "" if the system knows no name for them, as in some containers."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return ""


def between_options(command: Command) -> Command:
    """Two instants."""
    for option in reversed(_BETWEEN):
        command = option(command)
    return command


def filter_options(command: Command) -> Command:
    """Which jobs: the filters of the list."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def by_options(command: Command) -> Command:
    """Who, and why."""
    for option in reversed(_BY):
        command = option(command)
    return command


def filter_of(given: dict[str, Any]) -> dict[str, Any]:
    """The filter of the API, of the options given; those are taken out of `given`."""
    found = {name: given.pop(name) for name in CONDITIONS}
    states = [part for text in found["state"] for part in text.split(",") if part]
    found["state"] = states or None
    return {name: value for name, value in found.items() if value is not None}

"""`millstream workers`: who works, and how they do."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import rich_click as click

from .client import Api, url_option
from .output import print_line

_STYLES = {
    "serving": "green",
    "draining": "cyan",
    "stalled": "yellow",
    "silent": "red",
    "lost": "red",
}


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


@click.command("workers")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def command(as_json: bool, url: str) -> None:
    """Workers and how they do: a table on a terminal, JSON lines when piped.

    `silent` is one that does not report; `lost` one that the others take for dead.

    \b
    millstream workers
    millstream workers --json | jq 'select(.state != "serving")'
    """
    found = msgspec.json.decode(Api(url).get("/workers"), type=_Items).items
    if as_json or not sys.stdout.isatty():
        for worker in found:
            print_line(bytes(worker))
    else:
        _print_table([msgspec.json.decode(worker) for worker in found])


def _print_table(workers: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for title in ("worker", "state", "version", "queues"):
        table.add_column(title, no_wrap=title != "queues")
    for title in ("running", "of", "lag s", "MiB", "seen s ago"):
        table.add_column(title, justify="right")
    for one in workers:
        memory = "" if one["memory"] is None else f"{one['memory'] / 2**20:.0f}"
        table.add_row(
            Text(one["name"]),
            Text(one["state"], style=_STYLES.get(one["state"], "")),
            Text(one["version"]),
            Text(", ".join(one["queues"])),
            str(one["running"]),
            str(one["concurrency"]),
            f"{one['loop_lag']:.2f}",
            memory,
            f"{one['reported_ago']:.0f}",
        )
    Console().print(table)

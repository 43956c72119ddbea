"""`millstream jobs`: list them, show one; what changes them is in `actions`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click

from .actions import COMMANDS
from .choices import between_options
from .client import Api, url_option
from .output import one_line, print_json, print_line

_PAGE = 500
_WIDE = 110  # columns of a terminal that has room for all of the table
_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Event(msgspec.Struct):
    time: str
    version: int
    type: str
    body: msgspec.Raw


class _Events(msgspec.Struct):
    items: list[_Event]


class ListByDefault(click.RichGroup):
    """`millstream jobs --state failed` is `millstream jobs list --state failed`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("jobs", cls=ListByDefault)
def command() -> None:
    """List jobs (what it does without a word after it), show one, or change some.

    \b
    millstream jobs --state failed --queue emails
    millstream jobs show 0198f6f1-…
    millstream jobs retry --state failed --queue emails --dry-run
    """


for _command in COMMANDS:
    command.add_command(_command)


@command.command("list")
@click.option("--state", "states", multiple=True, help="May be repeated, or hold several.")
@click.option("--type", "type_", help="Only this job type.")
@click.option("--queue", help="Only this queue.")
@click.option("--tag", help="Only jobs with this tag.")
@click.option("--created-after", metavar="TIME", help="As 2027-01-31T08:00:00Z.")
@click.option("--created-before", metavar="TIME")
@click.option("--error", metavar="TEXT", help="Only jobs whose error holds this text.")
@click.option("--fingerprint", metavar="HEX", help="Only jobs that failed so; see `dead`.")
@click.option("--command", metavar="ID", help="Only jobs that were run again by this command.")
@click.option("--flow", metavar="ID", help="Only jobs of this flow.")
@click.option("--at", metavar="TIME", help="As they were then.")
@click.option("--discarded/--not-discarded", default=None, help="Failed jobs: as said of them.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def list_(limit: int, as_json: bool, url: str, **filters: Any) -> None:
    """Jobs, newest first: a table on a terminal, JSON lines when piped."""
    query = {
        "type": filters.pop("type_"),
        "state": ",".join(filters.pop("states")) or None,
        "discarded": _said(filters.pop("discarded")),
        **filters,
    }
    found = _pages(Api(url), limit, query)
    if as_json or not sys.stdout.isatty():
        for job in found:
            print_line(job)
    else:
        _print_table([msgspec.json.decode(job) for job in found])


@command.command("show")
@click.argument("job")
@click.option("--at", metavar="TIME", help="As it was then, such as 2027-01-31T08:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="JSON on one line, as when piped.")
@url_option
def show(job: str, at: str | None, as_json: bool, url: str) -> None:
    """One job, on a terminal with its history; with --at as it was."""
    api = Api(url)
    found = api.get(f"/jobs/{job}", at=at)
    if as_json or at or not sys.stdout.isatty():
        print_line(found)
        return
    print_json(found)
    history = api.get(f"/jobs/{job}/events", limit=_PAGE)
    _print_history(msgspec.json.decode(history, type=_Events).items)


@command.command("diff")
@click.argument("job")
@between_options
@url_option
def diff(job: str, url: str, **between: Any) -> None:
    """What changed in a job between two instants."""
    print_json(Api(url).get(f"/jobs/{job}/diff", **between))


@command.command("attempts")
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def attempts(job: str, as_json: bool, url: str) -> None:
    """Every attempt at a job: a table on a terminal, JSON lines with tracebacks when piped."""
    found = _pages(Api(url), sys.maxsize, {}, f"/jobs/{job}/attempts")
    if as_json or not sys.stdout.isatty():
        for attempt in found:
            print_line(attempt)
    else:
        _print_attempts([msgspec.json.decode(attempt) for attempt in found])


def _said(flag: bool | None) -> str | None:
    return None if flag is None else str(flag).lower()


def _pages(api: Api, limit: int, query: dict[str, Any], path: str = "/jobs") -> Iterator[bytes]:
    """Up to `limit` items (JSON) of a list, page by page."""
    cursor: str | None = None
    while limit > 0:
        answer = api.get(path, limit=min(limit, _PAGE), cursor=cursor, **query)
        page = msgspec.json.decode(answer, type=_Page)
        yield from map(bytes, page.items)
        limit -= len(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def _print_table(jobs: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, header_style="bold")
    for column in ("id", "state", "attempt", "submitted"):
        table.add_column(column, no_wrap=True)
    for column in ("type", "queue", "error") if console.width >= _WIDE else ("type",):
        table.add_column(column, overflow="fold")
    for job in jobs:
        state, progress = job["state"], job["progress"]
        share = f" {progress['value']:.0%}" if progress and state == "running" else ""
        error = job["error"]["message"].splitlines()[:1] if job["error"] else []
        cells = (
            job["id"],
            Text(state + share, style=_STYLES.get(state, "")),
            f"{job['attempt']}/{job['max_attempts']}",
            job["submitted_at"][:19],
            Text(job["type"]),
            job["queue"],
            Text(error[0] if error else ""),
        )
        table.add_row(*cells[: len(table.columns)])
    console.print(table)


def _print_attempts(attempts: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in ("attempt", "outcome", "started", "ended", "worker"):
        table.add_column(column, no_wrap=True)
    table.add_column("error", overflow="fold")
    for attempt in attempts:
        error, outcome = attempt["error"], attempt["outcome"] or "running"
        table.add_row(
            str(attempt["number"]),
            Text(outcome, style=_STYLES.get(outcome, "")),
            attempt["started_at"][:23],
            (attempt["ended_at"] or "")[:23],
            Text(attempt["worker"]),
            Text(f"{error['type']}: {error['message']}" if error else ""),
        )
    Console().print(table)


def _print_history(events: list[_Event]) -> None:
    from rich.console import Console

    console = Console()
    console.print("\n[bold]history[/bold]")
    for event in events:
        body = one_line(bytes(event.body)).decode()
        line = f"{event.time}  {event.version:>3}  {event.type:<20}  {body}"
        console.print(line, markup=False, highlight=False, overflow="ellipsis", no_wrap=True)

"""`millstream queues`: list them, show one, and limit, pause, resume, drain or purge one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import rich_click as click

from .choices import between_options, by_options
from .client import Api, url_option
from .jobs import ListByDefault
from .limits import limit
from .output import print_json, print_line

_STATES = ("scheduled", "queued", "blocked", "running", "retrying", "failed")
_MODES = {"paused": "yellow", "draining": "cyan"}


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Purged(msgspec.Struct):
    name: str
    dry_run: bool
    matched: int
    cancelled: int
    next_cursor: str | None


@click.group("queues", cls=ListByDefault)
def command() -> None:
    """List queues (what it does without a word after it), limit one, or act on it.

    \b
    millstream queues
    millstream queues pause emails --reason 'the mail server is down'
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def list_(as_json: bool, url: str) -> None:
    """Queues by name: a table on a terminal, JSON lines when piped."""
    found = _pages(Api(url))
    if as_json or not sys.stdout.isatty():
        for queue in found:
            print_line(queue)
    else:
        _print_table([msgspec.json.decode(queue) for queue in found])


@command.command("show")
@click.argument("queue")
@click.option("--at", metavar="TIME", help="Its counts as they were, 2027-01-31T08:00:00Z.")
@url_option
def show(queue: str, at: str | None, url: str) -> None:
    """One queue; with --at how many of its jobs were in which state then."""
    api = Api(url)
    print_json(api.get(f"/queues/{queue}/counts", at=at) if at else api.get(f"/queues/{queue}"))


@command.command("diff")
@click.argument("queue")
@between_options
@url_option
def diff(queue: str, url: str, **between: Any) -> None:
    """How the counts of a queue differ between two instants."""
    print_json(Api(url).get(f"/queues/{queue}/diff", **between))


@command.command("pause")
@click.argument("queue")
@by_options
@url_option
def pause(queue: str, url: str, **by: str) -> None:
    """Give none of its jobs to workers any more; it takes jobs all the same."""
    print_json(Api(url).post(f"/queues/{queue}/pause", by))


@command.command("resume")
@click.argument("queue")
@by_options
@url_option
def resume(queue: str, url: str, **by: str) -> None:
    """Take jobs and give them to workers again."""
    print_json(Api(url).post(f"/queues/{queue}/resume", by))


@command.command("drain")
@click.argument("queue")
@by_options
@url_option
def drain(queue: str, url: str, **by: str) -> None:
    """Take no jobs any more; what it has is run."""
    print_json(Api(url).post(f"/queues/{queue}/drain", by))


@command.command("purge")
@click.argument("queue")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["scheduled", "queued", "blocked", "retrying"]),
    help="Only jobs in this state; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@by_options
@url_option
def purge(queue: str, states: tuple[str, ...], dry_run: bool, url: str, **by: str) -> None:
    """Cancel the jobs that wait in it; running ones stay."""
    api = Api(url)
    body: dict[str, Any] = {**by, "dry_run": dry_run, "states": list(states) or None}
    total = _Purged(queue, dry_run, 0, 0, None)
    while True:
        answer = api.post(f"/queues/{queue}/purge", body | {"cursor": total.next_cursor})
        part = msgspec.json.decode(answer, type=_Purged)
        total.matched += part.matched
        total.cancelled += part.cancelled
        total.next_cursor = part.next_cursor
        if part.next_cursor is None:
            print_json(msgspec.json.encode(total))
            return


command.add_command(limit)


def _pages(api: Api) -> Iterator[bytes]:
    cursor: str | None = None
    while True:
        page = msgspec.json.decode(api.get("/queues", limit=500, cursor=cursor), type=_Page)
        yield from map(bytes, page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def _print_table(queues: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    table.add_column("queue", no_wrap=True)
    table.add_column("mode", no_wrap=True)
    for state in (*_STATES, "oldest s"):
        table.add_column(state, justify="right")
    for queue in queues:
        oldest = queue["oldest_wait"]
        table.add_row(
            Text(queue["name"]),
            Text(queue["mode"], style=_MODES.get(queue["mode"], "")),
            *(str(queue["by_state"][state]) for state in _STATES),
            "" if oldest is None else f"{oldest:.0f}",
        )
    Console().print(table)

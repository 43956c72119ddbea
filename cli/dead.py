"""`millstream dead`: failed jobs that are alike: list the groups, run them again, let them go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import rich_click as click

from .choices import by_options
from .client import REFUSED, Api, fail, url_option
from .jobs import ListByDefault
from .many import act_on_all, retry_options, spread_of
from .output import print_json, print_line

Command = Callable[..., None]

_PAGE = 500
_CONDITIONS = ("queue", "type", "tag", "created_after", "created_before", "error")

_dry_run = click.option("--dry-run", is_flag=True, help="Only say how many.")

_WHICH = (
    click.argument("fingerprint", required=False),
    click.option("--queue", help="Only this queue."),
    click.option("--type", "type", help="Only this job type."),
    click.option("--tag", help="Only jobs with this tag."),
    click.option("--created-after", metavar="TIME", help="As 2027-01-31T08:00:00Z."),
    click.option("--created-before", metavar="TIME"),
    click.option("--error", metavar="TEXT", help="Only jobs whose error holds this text."),
    click.option("--all", "all_", is_flag=True, help="All there are."),
)


class _Groups(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Sample(msgspec.Struct):
    sample: str


def _which(command: Command) -> Command:
    for option in reversed(_WHICH):
        command = option(command)
    return command


@click.group("dead", cls=ListByDefault)
def command() -> None:
    """Dead letters: failed jobs, those that failed alike together.

    \b
    millstream dead
    millstream dead show 3f5c0b1c2a7de901
    millstream dead redrive 3f5c0b1c2a7de901 --canary 5
    millstream dead redrive 3f5c0b1c2a7de901 --rate 20
    millstream dead purge --type report --reason 'nobody needs them'
    """


@command.command("list")
@click.option("--queue", help="Only this queue.")
@click.option("--type", "type", help="Only this job type.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def list_(limit: int, as_json: bool, url: str, **filters: Any) -> None:
    """Groups, latest failure first: a table on a terminal, JSON lines when piped."""
    found = _groups(Api(url), limit, filters)
    if as_json or not sys.stdout.isatty():
        for group in found:
            print_line(bytes(group))
    else:
        _print_table([msgspec.json.decode(group) for group in found])


@command.command("show")
@click.argument("fingerprint")
@click.option("--queue", help="Only this queue.")
@click.option("--type", "type", help="Only this job type.")
@url_option
def show(url: str, **which: str | None) -> None:
    """The groups of a fingerprint, and the job that failed last, with its traceback."""
    api = Api(url)
    groups = _groups(api, _PAGE, which)
    if not groups:
        fail(f"there are no dead letters of the fingerprint {which['fingerprint']}", REFUSED)
    sample = msgspec.json.decode(groups[0], type=_Sample).sample
    job = msgspec.Raw(api.get(f"/jobs/{sample}"))
    print_json(msgspec.json.encode({"groups": groups, "job": job}))


@command.command("redrive")
@_which
@retry_options
@_dry_run
@by_options
@url_option
def redrive(url: str, dry_run: bool, **given: Any) -> None:
    """Run dead letters again, with fresh attempts: those of a fingerprint, or that match filters.

    With --canary a few first; `millstream jobs --command ID` tells how they fared.
    """
    spread = spread_of(given)
    _act(Api(url), "retry", dry_run, given, spread)


@command.command("purge")
@_which
@_dry_run
@by_options
@url_option
def purge(url: str, dry_run: bool, **given: Any) -> None:
    """Let dead letters go: they stay failed and can be found, but are in this list no more."""
    _act(Api(url), "discard", dry_run, given, {})


def _act(api: Api, action: str, dry_run: bool, given: dict[str, Any], more: dict[str, Any]) -> None:
    all_ = given.pop("all_")
    found = {name: given.pop(name) for name in ("fingerprint", *_CONDITIONS)}
    filter = {name: value for name, value in found.items() if value is not None}
    if bool(filter) == all_:
        fail(f"{action}: expected a fingerprint, filters, or --all", REFUSED)
    filter["state"] = "failed"
    body = {"action": action, "filter": filter, "dry_run": dry_run, **given, **more}
    print_json(msgspec.json.encode(act_on_all(api, body)))


def _groups(api: Api, limit: int, query: dict[str, Any]) -> list[msgspec.Raw]:
    found: list[msgspec.Raw] = []
    cursor: str | None = None
    while len(found) < limit:
        part = min(limit - len(found), _PAGE)
        answer = api.get("/dead-letters", limit=part, cursor=cursor, **query)
        page = msgspec.json.decode(answer, type=_Groups)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def _print_table(groups: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    table.add_column("count", justify="right", no_wrap=True)
    for column in ("fingerprint", "last", "queue", "type", "reason"):
        table.add_column(column, no_wrap=column in ("fingerprint", "last"))
    table.add_column("error", overflow="fold")
    for group in groups:
        names = (Text(group[name]) for name in ("queue", "type", "reason", "label"))
        table.add_row(str(group["count"]), group["fingerprint"], group["last_at"][:19], *names)
    Console().print(table)

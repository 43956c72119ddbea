"""`millstream schedules`: make, list, show and change them, and fire them by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import rich_click as click

from .client import Api, url_option
from .jobs import ListByDefault
from .output import print_json, print_line
from .submit import _pair, _read_payload

_PAGE = 500
_STYLES = {"active": "green", "paused": "yellow", "unreadable": "red"}

Command = Callable[..., None]


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


class _Next(msgspec.Struct):
    next: list[str]


def _by(command: Command) -> Command:
    """The options that say who does it, and why."""
    command = click.option("--reason", default="", help="Why; kept in the event.")(command)
    return click.option("--actor", default="", help="Who; kept in the event.")(command)


def _spec(command: Command) -> Command:
    """The options that say what a schedule is; durations are seconds."""
    options = (
        click.option("--cron", help="5 or 6 fields, or a macro: '30 3 * * MON-FRI', @daily."),
        click.option("--every", type=float, metavar="SECONDS", help="An interval instead."),
        click.option("--timezone", metavar="NAME", help="Of cron: Europe/Vienna; default UTC."),
        click.option("--start-at", metavar="TIME", help="No occurrence before it."),
        click.option("--end-at", metavar="TIME", help="No occurrence after it."),
        click.option("--jitter", type=float, metavar="SECONDS", help="Fire up to that much later."),
        click.option("--overlap", help="allow (default), skip, buffer_one or cancel_running."),
        click.option("--catchup", type=float, metavar="SECONDS", help="How late it may fire."),
        click.option("--catchup-limit", type=int, help="How many may fire late; default 1."),
        click.option("--payload", metavar="JSON|@FILE|-", help="JSON, a file, or stdin."),
        click.option("--subject", help="Whom its jobs are about: the payload is encrypted."),
        click.option("--priority", type=int, help="0 (first) to 9; default 5."),
        click.option("--max-attempts", type=int, help="Default: that of the job type."),
        click.option("--timeout", type=float, metavar="SECONDS", help="Bound of one attempt."),
        click.option("--expires-in", type=float, metavar="SECONDS", help="Must have begun then."),
        click.option("--tag", "tags", multiple=True, help="May be repeated."),
        click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="May be repeated."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group("schedules", cls=ListByDefault)
def command() -> None:
    """List schedules (what it does without a word after it), make and change them.

    \b
    millstream schedules create nightly report --cron '0 3 * * *' --timezone Europe/Vienna
    millstream schedules pause nightly --reason 'the disk is full'
    """


@command.command("list")
@click.option("--queue", help="Only those of this queue.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, as when piped.")
@url_option
def list_(queue: str | None, as_json: bool, url: str) -> None:
    """All schedules by name: a table on a terminal, JSON lines when piped."""
    found = _pages(Api(url), queue)
    if as_json or not sys.stdout.isatty():
        for schedule in found:
            print_line(schedule)
    else:
        _print_table([msgspec.json.decode(schedule) for schedule in found])


@command.command("show")
@click.argument("name")
@url_option
def show(name: str, url: str) -> None:
    """One schedule, with its next occurrences."""
    print_json(Api(url).get(_path(name)))


@command.command("next")
@click.argument("name")
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True)
@url_option
def next_(name: str, count: int, url: str) -> None:
    """The next occurrences of a schedule, one a line."""
    found = msgspec.json.decode(Api(url).get(_path(name), next=count), type=_Next)
    for time in found.next:
        print(time)


@command.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True)
@url_option
def history(name: str, limit: int, url: str) -> None:
    """What became of a schedule, newest first, as JSON lines; also of one that was deleted."""
    answer = Api(url).get(_path(name, "events"), limit=limit)
    for event in msgspec.json.decode(answer, type=_Page).items:
        print_line(bytes(event))


@command.command("create")
@click.argument("name")
@click.argument("type_", metavar="TYPE")
@click.option("--queue", help="Default: that of the job type.")
@_spec
@_by
@url_option
def create(
    name: str, type_: str, queue: str | None, actor: str, reason: str, url: str, **given: Any
) -> None:
    """Make a schedule that submits jobs of TYPE."""
    body = {"name": name, "type": type_} | ({} if queue is None else {"queue": queue})
    print_json(Api(url).post("/schedules", body | _said(given), actor=actor, reason=reason))


@command.command("change")
@click.argument("name")
@_spec
@_by
@url_option
def change(name: str, actor: str, reason: str, url: str, **given: Any) -> None:
    """Change what the options name; the rest stays. --cron and --every replace each other."""
    print_json(Api(url).patch(_path(name), _said(given), actor=actor, reason=reason))


@command.command("delete")
@click.argument("name")
@_by
@url_option
def delete(name: str, actor: str, reason: str, url: str) -> None:
    """Delete a schedule; its jobs stay. Prints it as it was."""
    print_json(Api(url).delete(_path(name), actor=actor, reason=reason))


@command.command("pause")
@click.argument("name")
@_by
@url_option
def pause(name: str, actor: str, reason: str, url: str) -> None:
    """Let a schedule fire no more until it is resumed."""
    print_json(Api(url).post(_path(name, "pause"), {"actor": actor, "reason": reason}))


@command.command("resume")
@click.argument("name")
@_by
@url_option
def resume(name: str, actor: str, reason: str, url: str) -> None:
    """Let a paused schedule go on, from its next occurrence on."""
    print_json(Api(url).post(_path(name, "resume"), {"actor": actor, "reason": reason}))


@command.command("fire")
@click.argument("name")
@click.option("--id", "id_", help="Sent again with the same id within a day, it is done once.")
@_by
@url_option
def fire(name: str, id_: str | None, actor: str, reason: str, url: str) -> None:
    """Submit the schedule's job now, whatever its times and overlap policy say."""
    body = {"actor": actor, "reason": reason, "id": id_}
    print_json(Api(url).post(_path(name, "fire"), body))


@command.command("backfill")
@click.argument("name")
@click.option("--from", "begin", required=True, metavar="TIME", help="As 2027-01-31T08:00:00Z.")
@click.option("--to", "end", required=True, metavar="TIME", help="Not included; has passed.")
@click.option("--id", "id_", help="To go on with a backfill that broke off: the id it had.")
@_by
@url_option
def backfill(
    name: str, begin: str, end: str, id_: str | None, actor: str, reason: str, url: str
) -> None:
    """Submit a job for each occurrence of a range that has passed, 10,000 at most."""
    body = {"from": begin, "to": end, "id": id_, "actor": actor, "reason": reason}
    print_json(Api(url).post(_path(name, "backfill"), body))


def _path(name: str, verb: str = "") -> str:
    return f"/schedules/{quote(name, safe='')}" + (f"/{verb}" if verb else "")


def _said(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as members of a body."""
    body = {field: value for field, value in given.items() if value not in (None, ())}
    if "payload" in body:
        body["payload"] = _read_payload(body["payload"])
    if "metadata" in body:
        body["metadata"] = dict(_pair(text) for text in body["metadata"])
    return body


def _pages(api: Api, queue: str | None) -> Iterator[bytes]:
    """All schedules (JSON), page by page."""
    cursor: str | None = None
    while True:
        answer = api.get("/schedules", limit=_PAGE, cursor=cursor, queue=queue)
        page = msgspec.json.decode(answer, type=_Page)
        yield from map(bytes, page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


def _print_table(schedules: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in ("name", "state", "times", "next", "type", "queue"):
        table.add_column(column, overflow="fold")
    for one in schedules:
        times = f"every {one['every']:g} s" if one["every"] else one["cron"] or ""
        if one["cron"] and one["timezone"] != "UTC":
            times += f" {one['timezone']}"
        table.add_row(
            Text(one["name"]),
            Text(one["state"], style=_STYLES.get(one["state"], "")),
            Text(times),
            (one["next_at"] or "")[:19],
            Text(one["type"] or ""),
            one["queue"],
        )
    Console().print(table)

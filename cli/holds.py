"""`millstream holds`: what retention must leave alone."""

from __future__ import annotations

from typing import Any

import msgspec
import rich_click as click

from .choices import by_options
from .client import Api, url_option
from .output import print_json, print_line


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None


@click.group("holds")
def command() -> None:
    """Legal holds: jobs that are kept whatever their age, until the hold is released.

    \b
    millstream holds place case-7 --tag customer-4711 --reason 'letter of 3 May'
    millstream holds list
    """


@command.command("list")
@url_option
def list_holds(url: str) -> None:
    """Show all holds, as JSON lines."""
    api, cursor = Api(url), None
    while True:
        page = msgspec.json.decode(api.get("/holds", cursor=cursor), type=_Page)
        for hold in page.items:
            print_line(bytes(hold))
        cursor = page.next_cursor
        if cursor is None:
            return


@command.command("place")
@click.argument("name")
@click.option("--queue", help="Hold all jobs of this queue.")
@click.option("--tag", help="Hold all jobs with this tag.")
@click.option("--job", metavar="ID", help="Hold this job.")
@by_options
@url_option
def place(name: str, url: str, **given: Any) -> None:
    """Keep jobs until the hold NAME is released.

    \b
    millstream holds place case-7 --tag customer-4711 --reason 'letter of 3 May'
    """
    said = {key: value for key, value in given.items() if value is not None}
    print_json(Api(url).post("/holds", {"name": name, **said}))


@command.command("release")
@click.argument("name")
@by_options
@url_option
def release(name: str, url: str, actor: str, reason: str) -> None:
    """Let go what is old enough.

    \b
    millstream holds release case-7 --reason 'settled'
    """
    print_json(Api(url).post(f"/holds/{name}/release", {"actor": actor, "reason": reason}))

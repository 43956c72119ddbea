"""`millstream job-types`: what can be submitted."""

from __future__ import annotations

import msgspec
import rich_click as click

from .client import Api, url_option
from .output import print_line


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


@click.command("job-types")
@url_option
def command(url: str) -> None:
    """Job types that workers announced, with their defaults and schemas, as JSON lines.

    \b
    millstream job-types | jq .type
    """
    for one in msgspec.json.decode(Api(url).get("/job-types"), type=_Items).items:
        print_line(bytes(one))

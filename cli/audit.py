"""`millstream audit`."""

from __future__ import annotations

import sys

import msgspec
import rich_click as click

from .client import Api, url_option
from .output import print_json

FOUND = 1


class _Audit(msgspec.Struct):
    lost: int
    doubled: int
    stuck: int


@click.command("audit")
@url_option
def command(url: str) -> None:
    """Live jobs that go nowhere: lost, doubled or stuck, each named with the reason.

    The projector looks after them all the time; this tells what it saw. Exit code 1 if there are
    any.

    \b
    millstream audit
    """
    found = Api(url).get("/audit")
    print_json(found)
    told = msgspec.json.decode(found, type=_Audit)
    sys.exit(FOUND if told.lost or told.doubled or told.stuck else 0)

"""Doing one thing to all jobs that match a filter, request by request."""

from __future__ import annotations

import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import rich_click as click

from .client import Api

Command = Callable[..., None]

_SPREAD = (
    click.option("--canary", type=int, metavar="N", help="Only the newest N of them."),
    click.option("--rate", type=float, metavar="N", help="Let N of them run per second."),
    click.option(
        "--delay", type=float, metavar="SECONDS", help="Let the first run that much later."
    ),
)


def retry_options(command: Command) -> Command:
    """How many jobs are run again, and when."""
    for option in reversed(_SPREAD):
        command = option(command)
    return command


def spread_of(given: dict[str, Any]) -> dict[str, Any]:
    """What those options say, as the API takes it; takes them out of `given`."""
    found = {name: given.pop(name) for name in ("canary", "rate", "delay")}
    return {name: value for name, value in found.items() if value is not None}


class Result(msgspec.Struct):
    """What became of the jobs that matched, as the API tells it."""

    matched: int
    changed: int
    outcomes: dict[str, int]
    skipped: dict[str, int]
    next_cursor: str | None
    command: str | None


def act_on_all(api: Api, body: dict[str, Any]) -> Result:
    """Request by request until no more match; the sum of what became of them.

    All requests are one command, and keep one rate: the jobs of each are due after those before.
    """
    if body["action"] in ("retry", "discard"):
        body = body | {"command": uuid.uuid4().hex}
    total = Result(0, 0, {}, {}, None, None)
    outcomes, skipped = Counter[str](), Counter[str]()
    began = time.monotonic()
    while True:
        part = _part(api, body | {"cursor": total.next_cursor} | _after(body, total, began))
        total.matched += part.matched
        total.changed += part.changed
        outcomes.update(part.outcomes)
        skipped.update(part.skipped)
        total.next_cursor, total.command = part.next_cursor, part.command
        if part.next_cursor is None:
            break
        if sys.stderr.isatty():
            print(f"{total.matched} jobs so far", file=sys.stderr)
    total.outcomes, total.skipped = outcomes, skipped
    return total


def _part(api: Api, body: dict[str, Any]) -> Result:
    return msgspec.json.decode(api.post("/jobs/actions", body), type=Result)


def _after(body: dict[str, Any], total: Result, began: float) -> dict[str, Any]:
    """When the first job of the next request is due, so that the rate is kept."""
    if not body.get("rate") or not total.matched:
        return {}
    due = body.get("delay", 0.0) + total.matched / body["rate"]
    return {"delay": max(0.0, due - (time.monotonic() - began))}

"""Options of `millstream submit` that make a job unique."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rich_click as click

Command = Callable[..., None]

_OPTIONS = (
    click.option("--unique", is_flag=True, help="One job stands for all of its payload."),
    click.option("--unique-key", metavar="KEY", help="One job stands for all of that key."),
    click.option(
        "--unique-scope",
        type=click.Choice(["waiting", "unfinished"]),
        help="Until when it does so; default unfinished.",
    ),
    click.option(
        "--unique-period", type=float, metavar="SECONDS", help="It does so for that long instead."
    ),
    click.option(
        "--replace", is_flag=True, help="A waiting job of that kind is given these values instead."
    ),
)


def unique_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def unique_of(given: dict[str, Any]) -> dict[str, Any] | None:
    """What they say, as the API takes it; takes them out of `given`. None: nothing."""
    asked, key = given.pop("unique"), given.pop("unique_key")
    scope, period = given.pop("unique_scope"), given.pop("unique_period")
    replace = given.pop("replace")
    if period is not None:
        scope = scope or "period"
    found = {
        "key": key,
        "scope": scope,
        "period": period,
        "policy": "replace" if replace else None,
    }
    found = {name: value for name, value in found.items() if value is not None}
    return found if found or asked else None

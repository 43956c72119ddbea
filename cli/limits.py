"""`millstream queues limit`: change limits of a queue, of a job type in it, or of each key."""

from __future__ import annotations

import re
from typing import Any

import rich_click as click

from .choices import by_options
from .client import Api, url_option
from .output import print_json

_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?s?(?::(\d+))?")


class Count(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """A whole number from 1 on, or `none`."""

    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str:
        if value == "none":
            return value
        if not (str(value).isdecimal() and int(value) >= 1):
            self.fail(f"expected a whole number from 1 on, or none, got {value!r}", param, ctx)
        return int(value)


class Rate(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]
    """`100/60s` (starts in so many seconds), `100/60s:5` (5 at once), or `none`."""

    name = "N/SECONDS"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any] | str:
        found = _RATE.fullmatch(value) if isinstance(value, str) else None
        if isinstance(value, dict) or value == "none":
            return value
        if found is None:
            self.fail(f"expected such as 100/60s, 10/s, 10/s:5 or none, got {value!r}", param, ctx)
        limit, per, burst = found.groups()
        rate: dict[str, Any] = {"limit": int(limit), "per": float(per or 1)}
        return rate | ({"burst": int(burst)} if burst else {})


@click.command("limit")
@click.argument("queue")
@click.option("--type", "type_", help="Only for jobs of this type.")
@click.option("--concurrency", type=Count(), help="Jobs that may run at once.")
@click.option("--rate", type=Rate(), help="Starts in a time: 100/60s, 10/s, 10/s:5 (5 at once).")
@click.option("--concurrency-per-key", type=Count(), help="The same for each concurrency_key.")
@click.option("--rate-per-key", type=Rate(), help="The same for each rate_key.")
@click.option(
    "--aging", type=float, metavar="SECONDS",
    help="A job of priority p is served as if it had come p times this later; 0: strict order.",
)  # fmt: skip
@by_options
@url_option
def limit(
    queue: str, type_: str | None, aging: float | None, url: str, actor: str, reason: str,
    **limits: Any,
) -> None:  # fmt: skip
    """Change limits while jobs run; those not named stay, `none` takes one away.

    \b
    millstream queues limit emails --concurrency 50
    millstream queues limit emails --type email.send --rate 100/60s --reason 'the provider asks'
    millstream queues limit emails --concurrency-per-key none
    """
    said = {
        name: None if value == "none" else value
        for name, value in limits.items()
        if value is not None
    }
    body: dict[str, Any] = {"types": {type_: said}} if type_ else dict(said)
    if aging is not None:
        body["aging"] = aging or None
    if not (said or aging is not None):
        raise click.UsageError("expected at least one limit to change")
    print_json(Api(url).patch(f"/queues/{queue}", body | {"actor": actor, "reason": reason}))

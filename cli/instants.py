"""Times as commands that ask no API take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .client import REFUSED, fail


def instant(option: str, text: str | None) -> int | None:
    """Ms since 1970 of a time such as 2027-01-31T08:00:00Z; ends the command if it is none."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        fail(f"{option}: expected a time such as 2027-01-31T08:00:00Z, got {text!r}", REFUSED)
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def between(begin: str | None, end: str | None) -> tuple[int | None, int | None]:
    """The instants of --from and --to; ends the command if nothing can lie between them."""
    first, last = instant("--from", begin), instant("--to", end)
    if first is not None and last is not None and last <= first:
        fail(f"--to: expected a time after --from, {begin}, got {end}", REFUSED)
    return first, last

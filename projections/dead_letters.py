"""Reading the dead letters, group by group. Errors: Unavailable, InvalidCursor."""

import base64
import binascii
from typing import Any

import asyncpg
import msgspec

from ..core.errors import InvalidCursor
from .connection import translated
from .statements import statement

_Place = tuple[int, str, str, str, str]
_place = msgspec.json.Decoder(_Place).decode


class DeadLetters(msgspec.Struct, frozen=True):
    """Failed jobs that are alike.

    first_at, last_at  ms since 1970: when a job first failed so, ever, and when one did last
    sample             the job that did so last; it may have been run again since
    """

    queue: str
    type: str
    reason: str
    fingerprint: str
    label: str
    count: int
    first_at: int
    last_at: int
    sample: str

    @property
    def place(self) -> _Place:
        """Where it stands in the order of pages."""
        return (self.last_at, self.queue, self.type, self.reason, self.fingerprint)


class DeadLetterPage(msgspec.Struct, frozen=True):
    """Groups, latest failure first, and where the next page begins; None: there is no more."""

    items: list[DeadLetters]
    next_cursor: str | None


class DeadLetterFilter(msgspec.Struct, frozen=True):
    """Which groups; conditions left out let all through."""

    queue: str | None = None
    type: str | None = None
    fingerprint: str | None = None


async def list_dead_letters(
    pool: asyncpg.Pool, wanted: DeadLetterFilter, cursor: str | None = None, limit: int = 50
) -> DeadLetterPage:
    """A page of groups that have dead letters now.

    A group in which a job fails meanwhile moves to the front: a page read later may leave it out.
    """
    after = (None,) * 5 if cursor is None else _read_cursor(cursor)
    given = (wanted.queue, wanted.type, wanted.fingerprint)
    with translated():
        rows = await pool.fetch(statement("dead_letters"), limit + 1, *given, *after)
    items = [_read(row) for row in rows[:limit]]
    return DeadLetterPage(items, _cursor(items[-1].place) if len(rows) > limit else None)


def _read(row: Any) -> DeadLetters:
    named: Any = (row[name] for name in DeadLetters.__struct_fields__[:-1])
    return DeadLetters(*named, sample=str(row["sample"]))


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Place:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        place = _place(raw)
    except (binascii.Error, ValueError):
        raise InvalidCursor(cursor) from None
    if not 0 <= place[0] < 2**63 or any("\0" in text for text in place[1:]):
        raise InvalidCursor(cursor)
    return place

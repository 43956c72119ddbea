"""The log page by page: archive and stream as one, of some queues or all, with filters.

Of several queues the order is by time, then by name. It is exact, since of several logs only events
of instants that have passed are told; and a cursor holds a place in each log, so that nothing is
passed over even if a clock should step back. Errors: Unavailable, LogGap, InvalidCursor.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec

from ..core.errors import InvalidCursor
from ..core.events import KINDS, Record
from ..core.log import START, LogReader
from .as_of import JobPast
from .as_of.reading import END
from .connection import translated
from .history import History, last_seq
from .statements import statement

MOST_EXAMINED = 5000
"""Events read for one page: with filters it may hold fewer than asked for, even none."""

MOST_PASSED = 20_000
"""Events looked at for one page, with those of other types that are passed over in the archive."""

_ACTED = frozenset(name for name, kind in KINDS.items() if "actor" in kind.__struct_fields__)


class Place(NamedTuple):
    """Up to where a log was told: the seq, and the stream id of that event."""

    seq: int
    entry: str


Places = dict[str, Place]
_places = msgspec.json.Decoder(Places).decode


class EventFilter(msgspec.Struct, frozen=True):
    """Which events; conditions left out let all through. `begin` is included, `end` is not (ms)."""

    types: tuple[str, ...] = ()
    actor: str | None = None
    begin: int | None = None
    end: int | None = None

    @property
    def possible(self) -> tuple[str, ...] | None:
        """The types that can fit; None: any."""
        if self.actor is None:
            return self.types or None
        return tuple(sorted(_ACTED.intersection(self.types or _ACTED)))

    def fits(self, record: Record) -> bool:
        """Whether an event is one that is asked for."""
        return (
            (not self.types or record.type in self.types)
            and (self.begin is None or record.time >= self.begin)
            and (self.end is None or record.time < self.end)
            and (self.actor is None or actor_of(record) == self.actor)
        )


class EventPage(NamedTuple):
    """Events in order; `places`: up to where logs were looked at; `more`: not all of them were."""

    items: list[Record]
    places: Places
    more: bool


class _By(msgspec.Struct):
    actor: str = ""


_by = msgspec.json.Decoder(_By).decode


def actor_of(record: Record) -> str:
    """Who caused an event by a command; '' of others."""
    if b'"actor"' not in record.body:
        return ""
    try:
        return _by(record.body).actor
    except (msgspec.MsgspecError, RecursionError):
        return ""


async def tell(
    pool: Any,
    reader: LogReader,
    partitions: Sequence[str],
    wanted: EventFilter,
    places: Mapping[str, Place],
    limit: int,
    now: int = END,
) -> EventPage:
    """The next events of `partitions`, each after its place (from its beginning, without one).

    `now`: by the log's clock, asked for before; events of that ms and later are left for the next
    page. Needed where there are several partitions.
    """
    end = min(now, END if wanted.end is None else wanted.end)
    history = History(pool, reader, page=min(limit, 500) + 1, types=wanted.possible)
    seqs: dict[str, int] = {}
    for partition in sorted(partitions):
        place = places.get(partition) or await first_place(pool, partition, wanted.begin)
        await history.start(partition, place.seq, place.entry)
        seqs[partition] = place.seq
    reached, items, examined, passed = dict(places), list[Record](), 0, 0
    async with aclosing(history.backlog()) as records:
        async for record in records:
            if record.time >= end:
                break
            reached[record.partition] = Place(record.seq, record.entry)
            examined, passed = examined + 1, passed + record.seq - seqs[record.partition]
            seqs[record.partition] = record.seq
            if wanted.fits(record):
                items.append(record)
            if len(items) == limit or examined == MOST_EXAMINED or passed >= MOST_PASSED:
                return EventPage(items, reached, more=True)
    return EventPage(items, reached, more=False)


async def tell_job(
    past: JobPast, job: str, wanted: EventFilter, places: Mapping[str, Place], limit: int
) -> EventPage:
    """The next events of one job. Its place is kept under its id, and is a version."""
    version = places[job].seq if job in places else 0
    items, examined = list[Record](), 0
    async with aclosing(past.whole_records(job, version)) as records:
        async for record in records:
            version, examined = record.version, examined + 1
            if wanted.fits(record):
                items.append(record)
            if len(items) == limit or examined == MOST_EXAMINED:
                return EventPage(items, {job: Place(version, START)}, more=True)
    return EventPage(items, {job: Place(version, START)}, more=False)


async def last_places(pool: Any, reader: LogReader, partitions: Sequence[str]) -> Places:
    """Behind the last event of each log: only what comes is told from there."""
    found: Places = {}
    for partition in partitions:
        last = await reader.last(partition)
        if (await reader.head(partition)).lost is not None:
            found[partition] = Place(await last_seq(pool, reader, partition), START)
        elif last is None:  # all of it was cut off, or none was written yet
            found[partition] = Place((await reader.head(partition)).seq, START)
        else:
            found[partition] = Place(last.seq, last.entry)
    return found


async def first_place(pool: Any, partition: str, begin: int | None) -> Place:
    """Where to begin for events from `begin` on: at counts that were noted before, or at the first
    event."""
    if begin is not None:
        with translated():
            row = await pool.fetchrow(statement("snapshot_before"), partition, begin - 1)
        if row is not None:
            return Place(row["seq"], f"{row['time']}-0")
    return Place(0, START)


def write_cursor(places: Places) -> str:
    """A cursor that goes on after these places; opaque to clients."""
    packed = zlib.compress(msgspec.json.encode(places, order="sorted"), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(cursor: str | None) -> Places:
    """The places a cursor holds. Raises InvalidCursor."""
    if cursor is None:
        return {}
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        places = _places(_unpacked(packed))
    except (binascii.Error, zlib.error, msgspec.MsgspecError, ValueError):
        raise InvalidCursor(cursor[:80]) from None
    if any(place.seq < 0 or not _is_entry(place.entry) for place in places.values()):
        raise InvalidCursor(cursor[:80])
    return places


def _unpacked(packed: bytes) -> bytes:
    """No more than a cursor can be: what is packed small may be endless."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(packed, 1 << 20)
    if not unpacker.eof:
        raise ValueError("too long")
    return text


_is_entry = re.compile(r"\d{1,18}-\d{1,18}", re.ASCII).fullmatch

"""GET /events/stream: events as they come, as server-sent events that go on after any of them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response import Stream

from ..core.errors import InvalidCursor, MillstreamError
from ..core.events import Record
from ..projections.as_of.reading import END
from ..projections.telling import (
    EventFilter,
    Place,
    Places,
    last_places,
    read_cursor,
    tell,
    write_cursor,
)
from .events import filter_of, partitions_of
from .parameters import LogParameters, StreamParameters, read
from .problems import INVALID, Fault, Problem
from .resources import Resources, resources_of
from .views import event_of

LOOK_EVERY = 0.25
"""Seconds between two looks at logs that had nothing new."""

SIGN_EVERY = 15.0
"""Seconds without an event after which a comment shows that the stream lives."""

PAGE = 100

_encode = msgspec.json.Encoder().encode


@get("/events/stream")
async def stream_events(request: Request[Any, Any, Any]) -> Stream:
    """Events from `Last-Event-ID` or `cursor` on; without either, those that come from now on."""
    given, resources = read(request, StreamParameters), resources_of(request)
    asked = LogParameters(queue=given.queue, type=given.type, actor=given.actor)
    wanted = filter_of(asked)
    cursor = request.headers.get("last-event-id") or given.cursor
    try:
        places = read_cursor(cursor)
    except InvalidCursor as error:
        raise Problem(INVALID, f"{error}.", [Fault("$.cursor", str(error), "query")]) from None
    if cursor is None:
        partitions = await partitions_of(resources, asked)
        places = await last_places(resources.tables.pool, resources.logs, partitions)
    await resources.tables.checkpoints()  # while a problem can still be answered
    return Stream(
        _lines(resources, asked, wanted, places),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _lines(
    resources: Resources, asked: LogParameters, wanted: EventFilter, places: Places
) -> AsyncGenerator[bytes]:
    """Ends when this server shuts down, or when a log cannot be read: who asked comes again."""
    told = time.monotonic()
    yield b": millstream\n\n"
    try:
        while not resources.draining.is_set():
            partitions = await partitions_of(resources, asked)
            now = END if len(partitions) == 1 else await resources.schedules.now()
            page = await tell(
                resources.tables.pool, resources.logs, partitions, wanted, places, PAGE, now
            )
            for record in page.items:
                places = places | {record.partition: Place(record.seq, record.entry)}
                yield _event(record, places)
                told = time.monotonic()
            places = page.places
            if time.monotonic() - told > SIGN_EVERY:
                yield b": still here\n\n"
                told = time.monotonic()
            if not page.more:
                await resources.unless_draining(asyncio.sleep(LOOK_EVERY), otherwise=None)
    except (MillstreamError, Problem) as error:
        yield f": {error}\n\n".encode()


def _event(record: Record, places: Places) -> bytes:
    """An event in the stream; bodies of several lines become one."""
    data = _encode(event_of(record))
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    id = write_cursor(places).encode()
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id, record.type.encode(), data)

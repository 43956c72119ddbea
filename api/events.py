"""GET /events: the log of some queues or of all, archived or not, as one sequence."""

from typing import Any

from litestar import Request, get
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import InvalidCursor, LogGap
from ..core.events import KINDS
from ..projections.as_of.reading import END
from ..projections.telling import (
    EventFilter,
    EventPage,
    Places,
    read_cursor,
    tell,
    tell_job,
    write_cursor,
)
from .answers import answer
from .as_of import ms_of
from .lookup import not_found, refuse_lost
from .parameters import MAX_QUEUES, LogParameters, read
from .problems import HISTORY_LOST, INVALID, UNPROCESSABLE, Fault, Problem
from .queues import known_queue
from .resources import Resources, resources_of
from .views import EventView, event_of


class EventFeed(Struct):
    """Events in order. `next_cursor` leads to those that follow, null: there are none now.

    `cursor` stands behind the last of them in any case: what comes later is told from there.
    """

    items: list[EventView]
    next_cursor: str | None
    cursor: str


@get("/events")
async def list_events(request: Request[Any, Any, Any]) -> ASGIResponse:
    """The event log: by seq within a queue, by time and then name over several."""
    given, resources = read(request, LogParameters), resources_of(request)
    wanted = filter_of(given)
    try:
        places = read_cursor(given.cursor)
    except InvalidCursor as error:
        raise Problem(INVALID, f"{error}.", [Fault("$.cursor", str(error), "query")]) from None
    try:
        return answer(_feed_of(await _page(resources, given, wanted, places)))
    except LogGap as error:
        raise Problem(HISTORY_LOST, f"{error}.") from None


async def _page(
    resources: Resources, given: LogParameters, wanted: EventFilter, places: Places
) -> EventPage:
    if given.job is not None:
        return await _page_of_job(resources, given, wanted, places)
    partitions = await partitions_of(resources, given)
    now = END if len(partitions) == 1 else await resources.schedules.now()
    pool, reader = resources.tables.pool, resources.logs
    return await tell(pool, reader, partitions, wanted, places, given.limit, now)


async def _page_of_job(
    resources: Resources, given: LogParameters, wanted: EventFilter, places: Places
) -> EventPage:
    job = given.job or ""
    first = await resources.past.first(job)
    if first is None:
        await refuse_lost(resources, job)
        raise not_found(job)
    if given.queue and first.partition not in given.queue:
        return EventPage([], places, more=False)
    return await tell_job(resources.past, job, wanted, places, given.limit)


def filter_of(given: LogParameters) -> EventFilter:
    """What is asked for. Raises Problem."""
    for name in given.type:
        if name not in KINDS:
            message = f"expected a type of events ({', '.join(sorted(KINDS))}), got {name!r}"
            raise Problem(INVALID, f"{message}.", [Fault("$.type", message, "query")])
    begin = None if given.from_ is None else ms_of(given.from_)
    end = None if given.to is None else ms_of(given.to)
    if begin is not None and end is not None and end < begin:
        message = "expected a time after from"
        raise Problem(INVALID, f"$.to: {message}.", [Fault("$.to", message, "query")])
    return EventFilter(tuple(given.type), given.actor, begin, end)


async def partitions_of(resources: Resources, given: LogParameters) -> list[str]:
    """The logs that are asked for. Raises Problem: there is no such queue, or too many."""
    for queue in given.queue:
        await known_queue(resources, queue, "query")
    found = list(dict.fromkeys(given.queue)) or await resources.directory.partitions()
    if len(found) > MAX_QUEUES:
        message = f"expected the names of at most {MAX_QUEUES} queues, there are {len(found)}"
        raise Problem(UNPROCESSABLE, f"{message}.", [Fault("$.queue", message, "query")])
    return found


def _feed_of(page: EventPage) -> EventFeed:
    cursor = write_cursor(page.places)
    return EventFeed(list(map(event_of, page.items)), cursor if page.more else None, cursor)

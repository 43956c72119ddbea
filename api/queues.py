"""/queues: how they stand, and what an operator does to a whole queue."""

import asyncio
import re
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.errors import InvalidName
from ..core.jobs import JobState
from ..core.keys import check_queue
from ..core.limits import limits_of
from ..core.operating import PURGEABLE, Found, Mode
from ..core.queue import PartitionQueue
from .answers import answer
from .commands import By, read_command
from .origins import refuse_others
from .parameters import Cursor, Limit, NoParameters, read
from .problems import INVALID, NOT_FOUND, Fault, Problem
from .resources import Resources, resources_of
from .together import together
from .views import Time, time_or_null

PURGE_MOST = 20_000
"""Jobs one request purges, about; a longer purge is several requests."""

_PURGE_CURSOR = re.compile(r"(due|parked|ready):\d{1,20}")


class QueueParameters(Struct, forbid_unknown_fields=True):
    """Of GET /queues."""

    cursor: Cursor | None = None
    limit: Limit = 100


class QueueView(Struct):
    """A queue. `by_state` is what the tables count; the rest is as it stands this moment.

    mode         `lost`: halted until `millstream restore`, since its log was lost
    oldest_wait  seconds the first of the jobs that may run has been waiting
    next_due_at  when the next of those that wait for a time is due
    types        job types that workers of the queue ever announced
    limits       those in force, as PATCH takes them
    """

    name: str
    mode: Found
    by_state: dict[str, int]
    oldest_wait: float | None
    next_due_at: Time | None
    types: list[str]
    limits: dict[str, Any]


class QueueList(Struct):
    """Queues by name; `next_cursor` leads to the next part, null at the end."""

    items: list[QueueView]
    next_cursor: str | None


class ModeChange(Struct):
    """The mode of a queue after a command; `changed`: it was another before."""

    name: str
    mode: Mode
    changed: bool


PurgeState = Literal["scheduled", "queued", "blocked", "retrying"]


class Purge(By, forbid_unknown_fields=True):
    """Which of the waiting jobs to cancel (default: all), or only to count."""

    states: Annotated[list[PurgeState], Meta(min_length=1)] | None = None
    dry_run: bool = False
    cursor: Annotated[str, Meta(description="`next_cursor` of the answer before.")] | None = None


class PurgeResult(Struct):
    """`matched` jobs wait, or `cancelled` is how many were; `next_cursor`: there may be more."""

    name: str
    dry_run: bool
    matched: int
    cancelled: int
    next_cursor: str | None


@get("/queues")
async def list_queues(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Queues by name."""
    given = read(request, QueueParameters)
    resources = resources_of(request)
    names = await resources.directory.partitions()
    after = [name for name in names if given.cursor is None or name > given.cursor]
    shown = after[: given.limit]
    cursor = shown[-1] if len(after) > len(shown) else None
    return answer(QueueList(await _views(resources, shown), cursor))


@get("/queues/{queue:str}")
async def get_queue(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """One queue."""
    read(request, NoParameters)
    resources = resources_of(request)
    await known_queue(resources, queue)
    (view,) = await _views(resources, [queue])
    return answer(view)


@post("/queues/{queue:str}/pause", status_code=200, guards=[refuse_others])
async def pause(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """Give none of its jobs to workers any more."""
    return await _set_mode(request, queue, "paused")


@post("/queues/{queue:str}/resume", status_code=200, guards=[refuse_others])
async def resume(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """Take jobs and give them to workers again."""
    return await _set_mode(request, queue, "open")


@post("/queues/{queue:str}/drain", status_code=200, guards=[refuse_others])
async def drain(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """Take no jobs any more."""
    return await _set_mode(request, queue, "draining")


@post("/queues/{queue:str}/purge", status_code=200, guards=[refuse_others])
async def purge(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """Cancel the jobs that wait, or say how many they are."""
    read(request, NoParameters)
    given = await read_command(request, Purge)
    resources = resources_of(request)
    found = await known_queue(resources, queue)
    states = PURGEABLE if given.states is None else frozenset(map(JobState, given.states))
    if given.dry_run:
        return answer(PurgeResult(queue, True, await found.purgeable(states), 0, None))
    cursor, count = _purge_cursor(given.cursor), 0
    while True:
        cursor, part = await found.purge(given.event(), cursor, states)
        count += part
        if not cursor or count >= PURGE_MOST or resources.draining.is_set():
            return answer(PurgeResult(queue, False, count, count, cursor or None))


ROUTES = (list_queues, get_queue, pause, resume, drain, purge)


async def _set_mode(request: Request[Any, Any, Any], queue: str, mode: Mode) -> ASGIResponse:
    read(request, NoParameters)
    by = await read_command(request, By)
    found = await known_queue(resources_of(request), queue)
    return answer(ModeChange(queue, mode, await found.set_mode(mode, by.event())))


async def known_queue(resources: Resources, queue: str, place: Any = "path") -> PartitionQueue:
    """The queue, if it was ever used. Raises Problem."""
    try:
        known = await resources.directory.has(check_queue(queue))
    except InvalidName:
        known = False
    if not known:
        fault = Fault("$.queue", "expected the name of a queue that was used before", place)
        raise Problem(NOT_FOUND, f"There is no queue {queue[:80]!r}.", [fault])
    return resources.directory.queue(queue)


async def _views(resources: Resources, names: list[str]) -> list[QueueView]:
    states = await resources.tables.queue_states(names)
    return await together(lambda name: _view(resources, name, states[name]), names)


async def _view(resources: Resources, name: str, states: dict[str, int]) -> QueueView:
    queue = resources.directory.queue(name)
    standing, limits = await asyncio.gather(queue.inspect(), queue.limits())
    oldest = standing.oldest
    return QueueView(
        name=name,
        mode=standing.mode,
        by_state={state.value: states.get(state, 0) for state in JobState},
        oldest_wait=max(0, standing.now - oldest) / 1000 if oldest else None,
        next_due_at=time_or_null(standing.next_due or None),
        types=sorted(await resources.directory.types_of(name)),
        limits=limits_of(limits),
    )


def _purge_cursor(given: str | None) -> str:
    if given is None:
        return ""
    if not _PURGE_CURSOR.fullmatch(given) or int(given.partition(":")[2]) >= 2**64:
        message = f"expected the next_cursor of a purge, got {given[:40]!r}"
        raise Problem(INVALID, f"{message}.", [Fault("$.cursor", message)])
    return given

"""/schedules: make, list, show, change and delete them."""

from bisect import bisect_right
from itertools import islice
from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from ..core.events import Command, Record
from ..core.schedule_store import State
from ..core.schedules import occurrences
from . import planning
from .answers import answer
from .bodies import check_strict, read_json
from .origins import refuse_others
from .parameters import (
    ByParameters,
    EventParameters,
    NextParameters,
    SchedulesParameters,
    read,
)
from .problems import CONFLICT, INVALID, Fault, Problem
from .resources import Resources, resources_of
from .schedule_subjects import view, views
from .schedule_views import ScheduleList, view_of
from .views import Page, event_of

PATH = "/api/v1/schedules"
ATTEMPTS = 5
"""How often a change is tried again that others overtook."""


@post("/schedules", status_code=201, guards=[refuse_others])
async def create(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Make a schedule."""
    resources = resources_of(request)
    by = _by(request)
    given = await planning.accepted(resources, planning.decode(await _body(request, resources)))
    outcome, _ = await resources.schedules.put(given, by)
    if outcome != "created":
        raise Problem(CONFLICT, f"There is a schedule {given.name!r} already.")
    response = answer(await view(resources, await planning.find(resources, given.name)), 201)
    response.headers["location"] = f"{PATH}/{given.name}"
    return response


@get("/schedules")
async def list_schedules(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Schedules by name."""
    given = read(request, SchedulesParameters)
    resources = resources_of(request)
    schedules = resources.schedules
    named = await schedules.names()
    names = [name for name, queue in named.items() if given.queue in (None, queue)]
    first = bisect_right(names, given.cursor) if given.cursor is not None else 0
    shown = names[first : first + given.limit]
    found: dict[str, State] = {}
    for queue in sorted({named[name] for name in shown}):
        own = [name for name in shown if named[name] == queue]
        states = await schedules.of(queue).get_all(own)
        found |= {state.name: state for state in states if state is not None}
    more = len(names) > first + given.limit
    items = await views(resources, [found[name] for name in shown if name in found])
    return answer(ScheduleList(items, shown[-1] if more else None))


@get("/schedules/{name:str}")
async def get_schedule(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """One schedule, with its next occurrences."""
    given = read(request, NextParameters)
    resources = resources_of(request)
    state = await planning.find(resources, name)
    following: list[int] = []
    if given.next and view_of(state).state != "unreadable":
        now = await resources.schedules.now()
        following = list(islice(occurrences(state.schedule(), now), given.next))
    return answer(await view(resources, state, following))


@get("/schedules/{name:str}/events")
async def get_events(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """What became of a schedule, newest first; also of one that was deleted."""
    given = read(request, EventParameters)
    resources = resources_of(request)
    before = None if given.cursor is None else _read_cursor(given.cursor)
    records = await resources.tables.schedule_events(name, before, given.limit + 1)
    if not records and before is None:
        await planning.find(resources, name)
    shown = records[: given.limit]
    more = len(records) > given.limit
    return answer(
        Page([event_of(record) for record in shown], _cursor(shown[-1]) if more else None)
    )


@patch("/schedules/{name:str}", guards=[refuse_others])
async def change(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Change some of what a schedule says."""
    resources = resources_of(request)
    by = _by(request)
    body = await _body(request, resources)
    for _ in range(ATTEMPTS):
        state = await planning.find(resources, name)
        given = await planning.accepted(resources, planning.changed(state, body))
        outcome, _ = await resources.schedules.put(given, by, old=state)
        if outcome == "updated":
            return answer(await view(resources, await planning.find(resources, name)))
    raise Problem(CONFLICT, f"Schedule {name} was changed by others again and again.")


@delete("/schedules/{name:str}", status_code=200, guards=[refuse_others])
async def remove(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Delete a schedule; its jobs stay. The answer is the schedule as it was."""
    resources = resources_of(request)
    by = _by(request)
    state = await planning.find(resources, name)
    if not await resources.schedules.of(state.partition).delete(name, by):
        raise planning.not_found(name)
    await resources.schedules.forget(name, state.partition)
    return answer(await view(resources, state))


def _cursor(record: Record) -> str:
    return f"{record.time}:{record.seq}:{record.partition}"


def _read_cursor(text: str) -> tuple[int, str, int]:
    """Time, partition and seq of the last event shown. Raises Problem."""
    time, _, rest = text.partition(":")
    seq, _, partition = rest.partition(":")
    if not (_number(time) and _number(seq)):
        message = f"expected a next_cursor of this history, got {text[:40]!r}"
        raise Problem(INVALID, f"{message}.", [Fault("$.cursor", message, "query")])
    return int(time), partition, int(seq)


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _by(request: Request[Any, Any, Any]) -> Command:
    given = read(request, ByParameters)
    return Command(given.actor, given.reason)


async def _body(request: Request[Any, Any, Any], resources: Resources) -> bytes:
    settings = resources.settings
    body = await read_json(request.scope, request.receive, settings.max_body)
    check_strict(body, settings.max_depth)
    return body

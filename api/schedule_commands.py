"""POST /schedules/{name}/pause, /resume, /fire and /backfill."""

from typing import Any, TypeVar

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from ..core import firing
from ..core.errors import MillstreamError
from ..core.events import Command
from ..core.ids import new_id
from ..core.queue import CHEAP_BATCH
from ..core.schedule_store import Fired, FiredJob, Firing, State, new_command
from ..core.schedules import Schedule, job_of
from . import planning
from .answers import answer
from .bodies import check_strict, read_json
from .commands import By
from .misfits import invalid
from .origins import refuse_others
from .parameters import NoParameters, read
from .problems import CONFLICT, UNPROCESSABLE, Fault, Problem, problem_of
from .resources import Resources, resources_of
from .schedule_subjects import refuse_erased, view
from .schedule_views import Backfill, FireNow, Submitted
from .submission import milliseconds

B = TypeVar("B", bound=By)

MAX_BACKFILL = 10_000
ATTEMPTS = 5


@post("/schedules/{name:str}/pause", status_code=200, guards=[refuse_others])
async def pause(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Let a schedule fire no more until it is resumed; one that is paused stays as it was."""
    resources = resources_of(request)
    by = await _read(request, resources, By)
    state = await planning.find(resources, name)
    own = resources.schedules.of(state.partition)
    if await own.pause(name, _command(by)) == "missing":
        raise planning.not_found(name)
    return answer(await view(resources, await planning.find(resources, name)))


@post("/schedules/{name:str}/resume", status_code=200, guards=[refuse_others])
async def resume(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Let a paused schedule go on, from its next occurrence on."""
    resources = resources_of(request)
    by = await _read(request, resources, By)
    for _ in range(ATTEMPTS):
        state = await planning.find(resources, name)
        await refuse_erased(resources, name, planning.understood(state))
        own = resources.schedules.of(state.partition)
        outcome = await own.resume(state, _command(by), await resources.schedules.now())
        if outcome in ("resumed", "same"):
            return answer(await view(resources, await planning.find(resources, name)))
    raise Problem(CONFLICT, f"Schedule {name} was changed by others again and again.")


@post("/schedules/{name:str}/fire", status_code=200, guards=[refuse_others])
async def fire(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Submit the schedule's job now; its own times stay as they are."""
    resources = resources_of(request)
    given = await _read(request, resources, FireNow)
    state = await planning.find(resources, name)
    schedule = planning.understood(state)
    await refuse_erased(resources, name, schedule)
    now = await resources.schedules.now()
    command = given.id or new_command()
    wanted = _firing(state, schedule, [now], "manual", now, given)
    fired = await _fire(resources, wanted, f"schedule:{name}:{command}")
    return answer(Submitted(name, command, fired.jobs))


@post("/schedules/{name:str}/backfill", status_code=200, guards=[refuse_others])
async def backfill(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Submit a job for each occurrence of a range that has passed, in parts.

    What is interrupted goes on where it was when it is sent again with the same id.
    """
    resources = resources_of(request)
    given = await _read(request, resources, Backfill, optional=False)
    state = await planning.find(resources, name)
    schedule = planning.understood(state)
    await refuse_erased(resources, name, schedule)
    now = await resources.schedules.now()
    wanted = _occurrences(schedule, given, now)
    command, jobs = given.id or new_command(), list[str]()
    for first in range(0, len(wanted), CHEAP_BATCH):
        part = wanted[first : first + CHEAP_BATCH]
        try:
            made = _firing(state, schedule, part, "backfill", now, given)
            jobs += (await _fire(resources, made, f"schedule:{name}:{command}:{first}")).jobs
        except (MillstreamError, Problem) as error:
            raise _interrupted(error, command, len(jobs), len(wanted)) from None
    return answer(Submitted(name, command, jobs))


def _occurrences(schedule: Schedule, given: Backfill, now: int) -> list[int]:
    """The occurrences of a range. Raises Problem."""
    begin, end = milliseconds(given.begin), milliseconds(given.end)
    message = ""
    if end > now:
        message = f"expected a time that has passed, got {given.end.isoformat()}"
    elif begin >= end:
        message = "expected a time after from"
    if not message:
        found = firing.backfill(schedule, begin, end, MAX_BACKFILL)
        if len(found) <= MAX_BACKFILL:
            return found
        message = f"expected at most {MAX_BACKFILL} occurrences up to it, there are more"
    raise Problem(UNPROCESSABLE, f"{message} (at $.to).", [Fault("$.to", message)])


def _firing(
    state: State, schedule: Schedule, wanted: list[int], cause: str, now: int, by: By
) -> Firing:
    jobs = [
        FiredJob(new_id(state.partition), at, cause, job_of(schedule, at, now)) for at in wanted
    ]
    return Firing(state, schedule.overlap, jobs, moves=False, by=_command(by))


async def _fire(resources: Resources, wanted: Firing, command: str) -> Fired:
    """Fire by hand. Raises Problem."""
    state = wanted.state
    (fired,) = await resources.schedules.of(state.partition).fire([wanted], command)
    match fired.outcome:
        case "fired":
            return fired
        case "missing":
            raise planning.not_found(state.name)
        case "draining":
            raise Problem(CONFLICT, f"Queue {state.partition} takes no jobs: it is draining.")
        case _:
            raise Problem(CONFLICT, f"Schedule {state.name} was changed by others meanwhile.")


def _interrupted(error: MillstreamError | Problem, command: str, done: int, count: int) -> Problem:
    """The problem of a backfill done in part: how far it came, and how it goes on."""
    problem = error if isinstance(error, Problem) else problem_of(error)
    detail = (
        f"{problem.detail} {done} of {count} jobs are submitted for certain;"
        f" sent again with id {command!r}, only the others are."
    )
    return Problem(problem.kind, detail, id=command, submitted=done)


def _command(by: By) -> Command:
    return Command(by.actor, by.reason)


async def _read(
    request: Request[Any, Any, Any], resources: Resources, shape: type[B], *, optional: bool = True
) -> B:
    """The body of a command; nothing at all may be said where all of it is optional."""
    read(request, NoParameters)
    settings = resources.settings
    body = await read_json(request.scope, request.receive, settings.max_body, optional=optional)
    if optional and not body:
        return shape()
    check_strict(body, settings.max_depth)
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(error, body, shape) from None

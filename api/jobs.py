"""GET /jobs, /jobs/{id}, its events and attempts, and the one address submit and list share."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from litestar import Request, asgi, get
from litestar.exceptions import MethodNotAllowedException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from ..core.errors import InvalidCursor
from ..core.hot import EPOCH
from ..core.ids import is_id
from ..core.jobs import JobState
from ..projections.listing import JobFilter
from . import as_of, lookup
from .answers import answer
from .parameters import EventParameters, JobParameters, ListParameters, read
from .problems import DRAINING, INVALID, Fault, Problem, status_of
from .resources import resources_of
from .submission import milliseconds
from .submissions import submit
from .views import Page, attempt_of, event_of, view_of

PATH = "/api/v1/jobs"
ALLOW = "GET, OPTIONS, POST"


@asgi("/jobs", copy_scope=False)
async def collection(scope: Any, receive: Any, send: Any) -> None:
    """POST submits a job, GET lists them. Bare ASGI, for the sake of the former."""
    method = scope["method"]
    if method == "POST":
        await post(scope, receive, send)
    elif method == "GET":
        await _counted(scope, 200, _list(scope, receive, send))
    elif method == "OPTIONS":
        await ASGIResponse(status_code=204, headers={"allow": ALLOW})(scope, receive, send)
    else:
        raise MethodNotAllowedException(headers={"allow": ALLOW})


async def post(scope: Any, receive: Any, send: Any) -> None:
    """Submit a job."""
    await _counted(scope, 201, submit(scope, receive, send))


async def _list(scope: Any, receive: Any, send: Any) -> None:
    response = await list_jobs(Request(scope, receive, send))
    await response(scope, receive, send)


async def _counted(scope: Any, status: int, work: Coroutine[Any, Any, None]) -> None:
    """Do what answers a request; it is counted under `status`, or under that of its error."""
    started = time.perf_counter()
    try:
        await work
    except Exception as error:
        status = status_of(error)
        raise
    except asyncio.CancelledError:  # the server stops, and says so
        status = DRAINING.status
        raise
    finally:
        metrics = scope["litestar_app"].state.resources.metrics
        metrics.answered(scope["method"], PATH, status, started)


async def list_jobs(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Jobs that match all filters, newest first."""
    given = read(request, ListParameters)
    resources = resources_of(request)
    wanted = JobFilter(
        states=_states(given.state),
        type=given.type,
        queue=given.queue,
        tag=given.tag,
        created_after=given.created_after and milliseconds(given.created_after),
        created_before=given.created_before and milliseconds(given.created_before),
        error=given.error,
        fingerprint=given.fingerprint,
        discarded=given.discarded,
        command=given.command,
        flow=given.flow,
    )
    try:
        if given.at is None:
            page = await resources.tables.jobs(wanted, given.cursor, given.limit)
        else:
            page = await as_of.jobs_at(resources, wanted, given.at, given.cursor, given.limit)
    except InvalidCursor as error:
        raise _bad_cursor(str(error)) from None
    items = await resources.encryption.opened(page.items)
    return answer(Page([view_of(job) for job in items], page.next_cursor))


@get("/jobs/{job_id:str}")
async def get_job(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """One job; with `wait` once it has ended, with `after` not older than that position, with `at`
    as it was then."""
    given = read(request, JobParameters)
    resources = resources_of(request)
    if given.at is not None:
        if given.wait or given.after:
            message = "expected either at, or wait and after: what was does not change any more"
            raise Problem(INVALID, f"{message}.", [Fault("$.at", message, "query")])
        return answer(await as_of.job_at(resources, job_id, given.at))
    if given.wait and is_id(job_id):
        found = await lookup.find_ended(resources, job_id, given.wait, given.after)
    elif given.after:
        found = await lookup.find_after(resources, job_id, given.after)
    else:
        found = await lookup.find(resources, job_id)
    return answer((await lookup.opened(resources, found)).view())


@get("/jobs/{job_id:str}/events")
async def get_events(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """The history of a job, from its submission on."""
    given = read(request, EventParameters)
    resources = resources_of(request)
    after = _version(given.cursor)
    records = await resources.tables.events(job_id, after, given.limit + 1)
    if not records:
        found = await lookup.find(resources, job_id)
        if found.hot is not None:
            # A history is told by the archive alone; the job is so new that it is not there yet.
            await lookup.catch_up(resources, found.partition)
        # Also of a job that came into the tables between the two looks.
        records = await resources.tables.events(job_id, after, given.limit + 1)
    more = len(records) > given.limit
    shown = records[: given.limit]
    cursor = str(shown[-1].version) if more else None
    return answer(Page([event_of(record) for record in shown], cursor))


@get("/jobs/{job_id:str}/attempts")
async def get_attempts(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Every attempt at a job, the first one first."""
    given = read(request, EventParameters)
    resources = resources_of(request)
    after = _version(given.cursor)
    attempts = await resources.tables.attempts(job_id, after, given.limit + 1)
    if not attempts:
        found = await lookup.find(resources, job_id)
        if found.hot is not None:
            await lookup.catch_up(resources, found.partition)
        attempts = await resources.tables.attempts(job_id, after, given.limit + 1)
    shown = attempts[: given.limit]
    cursor = str(shown[-1].fence % EPOCH) if len(attempts) > given.limit else None
    return answer(Page([attempt_of(attempt) for attempt in shown], cursor))


def _states(given: list[str]) -> tuple[JobState, ...]:
    known = [state.value for state in JobState]
    for state in given:
        if state not in known:
            message = f"expected one of {', '.join(known)}, got {state[:40]!r}"
            raise Problem(INVALID, f"{message}.", [Fault("$.state", message, "query")])
    return tuple(JobState(state) for state in dict.fromkeys(given))


def _version(cursor: str | None) -> int:
    """The cursor of a history is the version of the last event shown."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):
        raise _bad_cursor(f"expected a next_cursor of this history, got {cursor[:40]!r}")
    return int(cursor)


def _bad_cursor(message: str) -> Problem:
    return Problem(INVALID, f"{message}.", [Fault("$.cursor", message, "query")])

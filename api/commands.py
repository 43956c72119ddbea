"""POST /jobs/{id}/cancel, /retry, /discard and /reschedule: what an operator does to one job."""

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.events import Command, JobDiscarded
from ..core.jobs import JobState
from ..core.queue import Redrive
from . import lookup, times
from .answers import answer
from .bodies import check_strict, read_json
from .lookup import Found
from .misfits import invalid
from .origins import refuse_others
from .parameters import NoParameters, read
from .problems import CONFLICT, UNPROCESSABLE, Fault, Problem
from .resources import Resources, resources_of
from .submission import Instant, Seconds

REDRIVABLE = (JobState.FAILED, JobState.CANCELLED)


class By(Struct, forbid_unknown_fields=True):
    """Who does it, and why; both are kept in the event."""

    actor: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=2000)] = ""

    def event(self) -> Command:
        """Who and why, as the verbs take it."""
        return Command(self.actor, self.reason)


S = TypeVar("S", bound=Struct)


class Reschedule(By, forbid_unknown_fields=True):
    """When a job is to run instead: either `run_at`, or `delay` in seconds from now."""

    run_at: Instant | None = None
    delay: Annotated[Seconds, Meta(description="0: now.")] | None = None


class Outcome(Struct):
    """What a command did: `outcome` is cancelled, requested (the job runs; its worker is told),
    pending (that was asked before), queued, rescheduled, ready (it could run already), or
    discarded."""

    id: str
    state: JobState
    outcome: str


@post("/jobs/{job_id:str}/cancel", status_code=200, guards=[refuse_others])
async def cancel(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Cancel a job: a waiting one at once, a running one by asking its worker."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await read_command(request, By)
    if not lookup.is_id(job_id):
        raise lookup.not_found(job_id)
    for partition in await resources.directory.partitions_of(job_id):
        (outcome,) = await resources.directory.queue(partition).cancel([job_id], by.event())
        if outcome != "missing":
            resources.joiner.wake(partition)
            state = JobState.CANCELLED if outcome == "cancelled" else JobState.RUNNING
            return answer(Outcome(job_id, state, outcome))
    found = await _ended(resources, job_id)
    state = found.view().state
    if state is not JobState.CANCELLED:
        raise Problem(CONFLICT, f"Job {job_id} is {state.value}: it cannot be cancelled.")
    return answer(Outcome(job_id, state, "cancelled"))


@post("/jobs/{job_id:str}/retry", status_code=200, guards=[refuse_others])
async def retry(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Run a failed or cancelled job again, with fresh attempts."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await read_command(request, By)
    found = await lookup.find(resources, job_id)
    if not found.terminal:
        found = await _ended(resources, job_id)
    job = found.archived
    if job is None or job.state not in REDRIVABLE:
        state = found.view().state.value
        raise Problem(CONFLICT, f"Job {job_id} is {state}: expected failed or cancelled.")
    spec = await resources.tables.spec(job_id)
    if spec is None:
        raise Problem(CONFLICT, f"The archive no longer holds the spec of job {job_id}.")
    redrive = Redrive(job_id, job.priority, job.version, spec)
    (outcome,) = await resources.directory.queue(job.queue).redrive([redrive], by.event())
    if outcome != "queued":
        raise Problem(CONFLICT, f"Job {job_id} was run again by somebody else a moment ago.")
    return answer(Outcome(job_id, JobState.QUEUED, outcome))


@post("/jobs/{job_id:str}/discard", status_code=200, guards=[refuse_others])
async def discard(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Take a failed job from the dead letters; it stays failed."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await read_command(request, By)
    found = await lookup.find(resources, job_id)
    if not found.terminal:
        found = await _ended(resources, job_id)
    job = found.archived
    if job is None or job.state is not JobState.FAILED:
        state = found.view().state.value
        raise Problem(CONFLICT, f"Job {job_id} is {state}: expected failed.")
    if not job.discarded:
        event = JobDiscarded(by.actor, by.reason)
        queue = resources.directory.queue(job.queue)
        (outcome,) = await queue.discard([(job_id, job.version)], event)
        if outcome != "discarded":
            raise Problem(CONFLICT, f"Job {job_id} was changed by somebody else a moment ago.")
        resources.joiner.wake(job.queue)
    return answer(Outcome(job_id, JobState.FAILED, "discarded"))


@post("/jobs/{job_id:str}/reschedule", status_code=200, guards=[refuse_others])
async def reschedule(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Give a waiting job another time to run; a delay of 0 runs it now."""
    resources = resources_of(request)
    read(request, NoParameters)
    given = await read_command(request, Reschedule)
    due = times.due_of(resources, given.run_at, given.delay)
    if not lookup.is_id(job_id):
        raise lookup.not_found(job_id)
    for partition in await resources.directory.partitions_of(job_id):
        queue = resources.directory.queue(partition)
        (outcome,) = await queue.reschedule([job_id], due, given.event())
        if outcome != "missing":
            return answer(_rescheduled(job_id, outcome, given))
    state = (await _ended(resources, job_id)).view().state.value
    raise Problem(CONFLICT, f"Job {job_id} is {state}: expected one that waits.")


def _rescheduled(job: str, outcome: str, given: Reschedule) -> Outcome:
    if outcome == "running":
        raise Problem(CONFLICT, f"Job {job} is running: expected one that waits.")
    if outcome == "too_late":
        path = "$.run_at" if given.delay is None else "$.delay"
        fault = Fault(path, "expected a time before the job expires")
        raise Problem(UNPROCESSABLE, f"Job {job} expires before that time.", [fault])
    state = JobState.SCHEDULED if outcome == "rescheduled" else JobState.QUEUED
    return Outcome(job, state, outcome)


async def read_command(
    request: Request[Any, Any, Any], shape: type[S], *, optional: bool = True
) -> S:
    """The body of a command as `shape`; with none all its defaults, if it is optional.

    Raises Problem.
    """
    settings = resources_of(request).settings
    body = await read_json(request.scope, request.receive, settings.max_body, optional=optional)
    if optional and not body:
        return shape()
    check_strict(body, settings.max_depth)
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise invalid(error, body, shape) from None


async def _ended(resources: Resources, job: str) -> Found:
    """The job if it does not live any more, as the tables have it once they have caught up."""
    living = await lookup.find_hot(resources, job)
    if living is not None:
        return living
    if not await resources.directory.partitions_of(job):
        raise lookup.not_found(job)
    return await lookup.find_settled(resources, job)

"""POST /jobs/{id}/cancel and /retry: what an operator does to one job."""

from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from ..core.events import JobCancelled, JobRedriven
from ..core.jobs import JobState
from ..core.queue import Redrive
from . import lookup
from .answers import answer
from .bodies import check_strict, invalid, read_json
from .lookup import Found
from .origins import refuse_others
from .parameters import NoParameters, read
from .problems import CONFLICT, Problem
from .resources import Resources, resources_of

REDRIVABLE = (JobState.FAILED, JobState.CANCELLED)


class By(Struct, forbid_unknown_fields=True):
    """Who does it, and why; both are kept in the event."""

    actor: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=2000)] = ""


class Outcome(Struct):
    """What a command did: `outcome` is cancelled, requested (the job runs; its worker is told),
    pending (that was asked before) or queued."""

    id: str
    state: JobState
    outcome: str


@post("/jobs/{job_id:str}/cancel", status_code=200, guards=[refuse_others])
async def cancel(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Cancel a job: a waiting one at once, a running one by asking its worker."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await _read_by(request, resources)
    event = JobCancelled(actor=by.actor, reason=by.reason)
    if not lookup.is_id(job_id):
        raise lookup.not_found(job_id)
    for partition in await resources.directory.partitions_of(job_id):
        (outcome,) = await resources.directory.queue(partition).cancel([job_id], event)
        if outcome != "missing":
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
    by = await _read_by(request, resources)
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
    event = JobRedriven(actor=by.actor, reason=by.reason)
    (outcome,) = await resources.directory.queue(job.queue).redrive([redrive], event)
    if outcome != "queued":
        raise Problem(CONFLICT, f"Job {job_id} was run again by somebody else a moment ago.")
    return answer(Outcome(job_id, JobState.QUEUED, outcome))


async def _read_by(request: Request[Any, Any, Any], resources: Resources) -> By:
    bound = resources.settings.max_body
    body = await read_json(request.scope, request.receive, bound, optional=True)
    if not body:
        return By()
    check_strict(body, resources.settings.max_depth)
    try:
        return msgspec.json.decode(body, type=By)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


async def _ended(resources: Resources, job: str) -> Found:
    """The job if it does not live any more, as the tables have it once they have caught up."""
    living = await lookup.find_hot(resources, job)
    if living is not None:
        return living
    if not await resources.directory.partitions_of(job):
        raise lookup.not_found(job)
    return await lookup.find_settled(resources, job)

"""POST /flows/{id}/jobs, /close and /cancel: an open flow is added to and closed, any is ended.

A flow bears the id of its last job: of a batch, that is the job that follows it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import MillstreamError
from ..core.events import JobClosed
from ..core.hot import HotJob
from ..core.jobs import LIVE
from ..core.linking import Outcome
from ..core.queue import PartitionQueue
from ..projections.listing import JobFilter
from . import flow_shapes as shapes
from . import lookup
from .acting import Tally, act, cancelling, settle
from .answers import answer
from .bodies import check_strict, read_keyed
from .commands import By, read_command
from .flow_reads import check_flow, flow_view, no_flow
from .idempotency import check_key
from .misfits import invalid
from .orders import Order
from .origins import refuse_others
from .parameters import NoParameters, read
from .parents import outcomes_of
from .problems import CONFLICT, Problem, problem_of
from .resources import Resources, resources_of
from .submission import Defaults, Submission, accepted
from .submissions import Receipts, agreed_orders, bounds_of, defaults_of, orders_of, send_all
from .submitter import insist

EXTENSION = 1000
"""Jobs of one call of the verb."""

CANCELLED_AT_ONCE = 10_000
"""Jobs that one request cancels; it may be sent again for more."""


class FlowCancelled(Struct):
    """How many jobs of a flow were cancelled, and how many that run were asked to stop; `more`:
    send it again."""

    cancelled: int
    requested: int
    more: bool


@post("/flows/{flow_id:str}/jobs")
async def add_jobs(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """Add jobs to the batch of an open flow; with `close` they are the last."""
    resources = resources_of(request)
    read(request, NoParameters)
    body, keys = await read_keyed(request.scope, request.receive, resources.settings.max_body)
    key = check_key(keys)
    check_strict(body, resources.settings.max_depth)
    try:
        given = shapes.decode_addition(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, shapes.FlowAddition) from None
    _check(given.jobs)
    queue, last = await _open(resources, flow_id)
    bounds = bounds_of(resources)
    if key is None:
        found = await defaults_of(resources, given.jobs)
        orders = orders_of(given.jobs, found, bounds)
        await resources.payloads.check(given.jobs)
    else:
        found, orders = await agreed_orders(
            resources, given.jobs, key + b" " + flow_id.encode(), body
        )
    orders = await resources.encryption.encrypt(given.jobs, orders)
    places = await _submit(resources, found, orders, last)
    ids = [place.id for place in places]
    over = [place.id for place in places if place.duplicate and place.duplicate.state is None]
    ended = await outcomes_of(resources, over) if over else {}
    closing = JobClosed(given.actor, given.reason) if given.close else None
    await _extend(queue, last.id, ids, ended, closing)
    items = [
        accepted(place, one.queue, order.spec)
        for place, one, order in zip(places, found, orders, strict=True)
    ]
    return answer(Receipts(items), 200 if all(item.deduplicated for item in items) else 201)


def _check(jobs: Sequence[Submission]) -> None:
    faults = [
        shapes.Fault(f"$.jobs[{index}].unique", shapes.NOT_UNIQUE)
        for index, job in enumerate(jobs)
        if job.unique is not None
    ]
    faults += [
        shapes.Fault(f"$.jobs[{index}].depends_on", "expected none of a job added to a batch")
        for index, job in enumerate(jobs)
        if job.depends_on is not msgspec.UNSET
    ]
    if faults:
        raise shapes.problem(faults)


async def _submit(
    resources: Resources, found: Sequence[Defaults], orders: Sequence[Order], last: HotJob
) -> Sequence[Any]:
    """Submit the jobs, each with the id of who waits for it."""
    mark = "*" if last.spec.on_parent_failure == "wait" else ""
    queues = [one.queue for one in found]
    for name in set(queues):
        await resources.submitter.link(name)
    ready = [
        order._replace(
            spec=msgspec.structs.replace(order.spec, flow=last.id), before=[last.id + mark]
        )
        for order in orders
    ]
    return await send_all(resources, queues, ready)


async def _open(resources: Resources, flow: str) -> tuple[PartitionQueue, HotJob]:
    """The last job of an open flow. Raises Problem: there is none, or it is closed."""
    check_flow(flow)
    for partition in await resources.directory.partitions_of(flow):
        queue = resources.directory.queue(partition)
        job = await queue.job(flow)
        if job is not None and job.depends and await queue.is_open(flow):
            return queue, job
    try:
        await lookup.find(resources, flow)
    except Problem as problem:
        raise (no_flow(flow) if problem.kind is lookup.NOT_FOUND else problem) from None
    raise Problem(CONFLICT, f"Flow {flow} is closed, or was never open: it takes no more jobs.")


async def _extend(
    queue: PartitionQueue,
    job: str,
    parents: Sequence[str],
    ended: dict[str, Outcome],
    close: JobClosed | None,
) -> None:
    parts = [parents[i : i + EXTENSION] for i in range(0, len(parents), EXTENSION)] or [()]
    for number, part in enumerate(parts, 1):
        closing = close if number == len(parts) else None
        if not part and closing is None:
            continue
        try:
            reply = await insist(lambda: queue.extend(job, part, ended, closing))  # noqa: B023
        except MillstreamError as error:
            raise _not_awaited(problem_of(error), parents) from error
        if reply != "extended" and not (closing is not None and not part):
            raise _not_awaited(Problem(CONFLICT, f"Flow {job} was closed meanwhile."), parents)


def _not_awaited(problem: Problem, parents: Sequence[str]) -> Problem:
    if not parents:
        return problem
    detail = f"{problem.detail} The jobs are accepted, but the flow may not wait for all of them."
    return Problem(
        problem.kind, detail, accepted=len(parents), items=[{"id": id} for id in parents]
    )


@post("/flows/{flow_id:str}/close", status_code=200, guards=[refuse_others])
async def close(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """Close an open flow: the job that follows its batch waits for no more than it does now."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await read_command(request, By)
    queue, job = await _open(resources, flow_id)
    await _extend(queue, job.id, (), {}, JobClosed(by.actor, by.reason))
    return answer(await flow_view(resources, flow_id))


@post("/flows/{flow_id:str}/cancel", status_code=200, guards=[refuse_others])
async def cancel(request: Request[Any, Any, Any], flow_id: FromPath[str]) -> ASGIResponse:
    """Cancel all jobs of a flow that have not ended; running ones are asked to stop."""
    resources = resources_of(request)
    read(request, NoParameters)
    by = await read_command(request, By)
    await flow_view(resources, flow_id)
    await settle(resources, None)
    tally = Tally()
    wanted = JobFilter(flow=flow_id, states=tuple(LIVE))
    apply = cancelling(resources, by.event())
    cursor = await act(resources, wanted, apply, tally, None, CANCELLED_AT_ONCE)
    changed = tally.changed
    return answer(FlowCancelled(changed["cancelled"], changed["requested"], cursor is not None))


ROUTES = (add_jobs, close, cancel)

"""POST /jobs and POST /jobs/batch: the way in, kept short, since it is the one walked most."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, post
from litestar.response.base import ASGIResponse

from ..core.errors import MillstreamError, QueueDraining
from . import submission as sub
from .acknowledgements import by_queue
from .answers import answer
from .bodies import check_strict, read_keyed
from .idempotency import check_key
from .misfits import fault_of, invalid
from .orders import Order, Place
from .parents import linked
from .problems import (
    INVALID,
    MAX_FAULTS,
    TOO_DEEP,
    UNKNOWN_TYPE,
    UNPROCESSABLE,
    Fault,
    Problem,
    faulty,
    problem_of,
)
from .resources import Resources, resources_of
from .submission import (
    Accepted,
    Bounds,
    Defaults,
    Submission,
    Unacceptable,
    accepted,
    order_of,
    path_of,
)

_LONE = ("$",)
"""Where a request of one job has it."""

encode = msgspec.json.Encoder().encode


class Receipts(msgspec.Struct, gc=False):
    """The answer to a batch: one item per job, in order."""

    items: Sequence[Accepted]


async def submit(scope: Any, receive: Any, send: Any) -> None:
    """POST /jobs, on bare ASGI. Raises Problem and errors of core."""
    resources: Resources = scope["litestar_app"].state.resources
    settings = resources.settings
    body, keys = await read_keyed(scope, receive, settings.max_body)
    key = check_key(keys) if keys else None
    check_strict(body, settings.max_depth)
    try:
        given = sub.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, body, sub.LoneSubmission) from None
    try:
        sub.check_names(given)
        if key is None:
            defaults = await _resolved(resources, given)
            order = order_of(given, defaults, bounds_of(resources))
            await resources.payloads.check([given], _LONE)
        else:
            defaults, order = await _agreed(resources, given, key, body)
    except Unacceptable as error:
        raise _problem_of(error, [error.fault()]) from None
    if given.subject is not None:
        (order,) = await resources.encryption.encrypt([given], [order])
    if given.ack != "memory":
        await resources.acknowledgements.check(given.ack, [defaults.queue])
    if order.spec.depends_on:
        (order,) = await linked(resources, [defaults.queue], [order], lambda _: "$")
    place = await resources.submitter.submit(defaults.queue, order)
    made = place.duplicate is None
    resources.metrics.submitted(made)
    if given.ack != "memory":
        await resources.acknowledgements.confirm(given.ack, {defaults.queue: [place]})
    answer = encode(accepted(place, defaults.queue, order.spec))
    await send(
        {
            "type": "http.response.start",
            "status": 201 if made else 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(answer)).encode()),
                (b"location", f"/api/v1/jobs/{place.id}".encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer})


@post("/jobs/batch")
async def submit_batch(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Submit up to 10,000 jobs; all are checked before any is accepted."""
    resources = resources_of(request)
    settings = resources.settings
    body, keys = await read_keyed(request.scope, request.receive, settings.max_body)
    key = check_key(keys)
    check_strict(body, settings.max_depth)
    await asyncio.sleep(0)  # each step takes its time: let others have their turn in between
    try:
        batch = sub.decode_batch(body)
    except msgspec.ValidationError as error:
        raise _bad_batch(body, error) from None
    jobs, ack = batch.jobs, batch.ack
    if key is None:
        found = await defaults_of(resources, jobs)
        await asyncio.sleep(0)
        orders = orders_of(jobs, found, bounds_of(resources))
        await resources.payloads.check(jobs)
    else:
        found, orders = await agreed_orders(resources, jobs, key, body)
    orders = await resources.encryption.encrypt(jobs, orders)
    queues = [defaults.queue for defaults in found]
    if ack != "memory":
        await resources.acknowledgements.check(ack, queues)
    if any(order.spec.depends_on for order in orders):
        orders = await linked(resources, queues, orders, lambda index: f"$.jobs[{index}]")
    places = await send_all(resources, queues, orders)
    if ack != "memory":
        await resources.acknowledgements.confirm(ack, by_queue(queues, places))
    items = [
        accepted(place, defaults.queue, order.spec)
        for place, defaults, order in zip(places, found, orders, strict=True)
    ]
    return answer(Receipts(items), 200 if all(item.deduplicated for item in items) else 201)


async def _resolved(resources: Resources, given: Submission) -> Defaults:
    return resources.catalog.remembered(given) or await resources.catalog.resolve(given)


async def _agreed(
    resources: Resources, given: Submission, key: bytes, body: bytes
) -> tuple[Defaults, Order]:
    """Defaults and order of a job by the terms of its key. Raises Unacceptable, Problem."""
    bounds = bounds_of(resources)

    async def resolve() -> list[Defaults]:
        defaults = await _resolved(resources, given)
        order_of(given, defaults, bounds)
        await resources.payloads.check([given], _LONE)
        return [defaults]

    agreed = await resources.idempotency.agree(key, body, bounds.now, resolve)
    (defaults,) = agreed.terms.defaults
    order = order_of(given, defaults, bounds._replace(now=agreed.terms.now))
    return defaults, agreed.mark(order, 0, defaults.queue)


async def agreed_orders(
    resources: Resources, jobs: Sequence[Submission], key: bytes, body: bytes
) -> tuple[list[Defaults], list[Order]]:
    """The same of a batch. Raises Problem."""
    bounds = bounds_of(resources)

    async def resolve() -> list[Defaults]:
        found = await defaults_of(resources, jobs)
        orders_of(jobs, found, bounds)
        await resources.payloads.check(jobs)
        return found

    agreed = await resources.idempotency.agree(key, body, bounds.now, resolve)
    found = agreed.terms.defaults_of(len(jobs))
    orders = orders_of(jobs, found, bounds._replace(now=agreed.terms.now))
    return found, [
        agreed.mark(order, index, one.queue)
        for index, (order, one) in enumerate(zip(orders, found, strict=True))
    ]


def bounds_of(resources: Resources) -> Bounds:
    settings = resources.settings
    now = time.time_ns() // 1_000_000
    return Bounds(now, settings.max_depth, settings.max_horizon_days * 86_400_000)


async def defaults_of(
    resources: Resources, jobs: Sequence[Submission], paths: Sequence[str] = ()
) -> list[Defaults]:
    """Queue and defaults of each job. Raises Problem that names all types not known.

    `paths`: where the request has each job; by default in a list `jobs`.
    """
    faults: list[Fault] = []
    for index, job in enumerate(jobs):
        try:
            sub.check_names(job)
        except Unacceptable as error:
            faults.append(error.fault(path_of(paths, index)))
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise faulty(UNPROCESSABLE, faults)
    by_pair = await resources.catalog.resolve_all(jobs)
    found: list[Defaults] = []
    for index, job in enumerate(jobs):
        defaults = by_pair[job.type, job.queue]
        if isinstance(defaults, Unacceptable):
            faults.append(defaults.fault(path_of(paths, index)))
        else:
            found.append(defaults)
    if faults:
        raise faulty(UNKNOWN_TYPE, faults)
    return found


def orders_of(
    jobs: Sequence[Submission],
    found: Sequence[Defaults],
    bounds: Bounds,
    paths: Sequence[str] = (),
) -> list[Order]:
    """The jobs as the submitter takes them. Raises Problem that names all that cannot be."""
    try:
        return [order_of(job, one, bounds) for job, one in zip(jobs, found, strict=True)]
    except Unacceptable:
        pass
    faults: list[tuple[int, Unacceptable]] = []
    for index, (job, one) in enumerate(zip(jobs, found, strict=True)):
        try:
            order_of(job, one, bounds)
        except Unacceptable as error:
            faults.append((index, error))
    raise _problem_of(faults[0][1], [error.fault(path_of(paths, i)) for i, error in faults])


async def send_all(
    resources: Resources, queues: Sequence[str], orders: Sequence[Order]
) -> list[Place]:
    """Submit the jobs, queue by queue; the places in the order of the request."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, queue in enumerate(queues):
        members[queue].append(index)
    places: list[Place | None] = [None] * len(orders)
    failure: MillstreamError | None = None
    if len(members) > 1:
        await refuse_draining(resources, list(members))
    for queue, indexes in members.items():
        chunks = await resources.submitter.submit_many(queue, [orders[i] for i in indexes])
        remaining = iter(indexes)
        for chunk in chunks:
            if isinstance(chunk.outcome, MillstreamError):
                failure = failure or chunk.outcome
                for _ in range(chunk.size):
                    next(remaining)
            else:
                for place in chunk.outcome:
                    places[next(remaining)] = place
        if failure is not None:
            break
    taken = [place for place in places if place is not None]
    resources.metrics.submitted(sum(place.duplicate is None for place in taken))
    if failure is not None:
        raise _interrupted(failure, places, len(taken))
    return taken


async def refuse_draining(resources: Resources, queues: Sequence[str]) -> None:
    """Refuse a batch before any of it is taken if one of its queues takes no jobs.

    Raises QueueDraining.
    """
    for queue in queues:
        if (await resources.directory.queue(queue).inspect()).mode == "draining":
            raise QueueDraining(f"DRAINING queue {queue} takes no jobs until it is resumed")


def _interrupted(failure: MillstreamError, places: Sequence[Place | None], taken: int) -> Problem:
    """The problem of a batch that Redis took in part: says which jobs it has for certain."""
    problem = problem_of(failure)
    if not taken:
        return problem
    detail = f"{problem.detail} {taken} of {len(places)} jobs are accepted: see items."
    items = [
        None if place is None else {"id": place.id, "position": place.position} for place in places
    ]
    return Problem(problem.kind, detail, accepted=taken, items=items)


def _bad_batch(body: bytes, error: msgspec.ValidationError) -> Problem:
    """The faults of a batch of the wrong shape, job by job where it is the jobs."""
    try:
        jobs = sub.decode_loosely(body).jobs
    except msgspec.ValidationError:
        return invalid(error, body, sub.Batch)
    bad = sub.faults_of_batch(jobs, MAX_FAULTS)
    if len(jobs) > sub.MAX_BATCH or not bad:
        return invalid(error, body, sub.Batch)
    faults = [
        fault_of(one, bytes(jobs[index]), sub.Submission, under=f"$.jobs[{index}]")
        for index, one in bad
    ]
    return faulty(INVALID, faults)


def _problem_of(error: Unacceptable, faults: Sequence[Fault]) -> Problem:
    if error.deep:
        return faulty(TOO_DEEP, faults)
    return faulty(UNKNOWN_TYPE if error.unknown_type else UNPROCESSABLE, faults)

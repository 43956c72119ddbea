"""GET /jobs/{id}/why and /schedules/{name}/why: plain sentences, each with its events."""

import asyncio
from contextlib import aclosing
from typing import Any

from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core import why
from ..core.events import Record, position
from ..core.gates import gate_of
from ..core.jobs import JOBS, Job, JobState
from ..core.keys import Keys
from ..core.limits import limits_of
from ..core.linking import Outcome
from ..core.why import Awaited, Facts, Gate, Halt, Sentence, Server, Story
from ..core.workers import Seen
from ..projections import queries
from ..projections.as_of.reading import time_of_entry
from . import lookup, planning
from .answers import answer
from .parameters import NoParameters, read
from .resources import Resources, resources_of

MODES = 100
"""Changes of a queue's mode that are looked at."""

AWAITED, UNHAPPY = 1000, 3
"""Jobs that one waits for that are looked at, and how many that did not succeed are named."""

OCCURRENCES = 100
"""Events of a schedule that are looked at."""


class Why(Struct):
    """What there is to say of a job: first why it is where it is, then what happened, in order."""

    id: str
    sentences: list[Sentence]


class ScheduleWhy(Struct):
    """What became of a schedule's latest occurrences, in order."""

    name: str
    sentences: list[Sentence]


@get("/jobs/{job_id:str}/why")
async def get_why(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """Why a job waits, ran more than once, was delayed, replaced, cancelled or given up."""
    read(request, NoParameters)
    resources = resources_of(request)
    first = await resources.past.first(job_id)
    if first is None:
        await lookup.refuse_lost(resources, job_id)
        raise lookup.not_found(job_id)
    story = Story(await _around(resources, first))
    async with aclosing(resources.past.records(job_id)) as records:
        async for record in records:
            why.take(story, record)
    facts, halt = None, await _halt(resources, first.partition)
    if halt is not None:
        facts = Facts(now=await resources.schedules.now(), halt=halt)
    elif story.job is not None and not story.job.terminal:
        facts = await _facts(resources, story.job)
    return answer(Why(job_id, why.conclude(story, facts)))


@get("/schedules/{name:str}/why")
async def get_schedule_why(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIResponse:
    """Why the latest occurrences of a schedule became jobs, or were skipped."""
    read(request, NoParameters)
    resources = resources_of(request)
    records = await resources.tables.schedule_events(name, None, OCCURRENCES)
    if not records:
        await planning.find(resources, name)
    return answer(ScheduleWhy(name, why.explain_schedule(reversed(records))))


async def _around(resources: Resources, submitted: Record) -> list[Record]:
    """What happened to the job's queue up to now, and to its schedule before it was submitted."""
    queue, pool = submitted.partition, resources.tables.pool
    now = await resources.schedules.now()
    # Asked first: what is archived in between is then in both, and told once.
    fresh = await resources.past.unarchived(queue)
    modes = await queries.queue_modes(pool, queue, now, MODES)
    known = {record.position for record in modes}
    modes += [r for r in fresh if r.type.startswith("queue.") and r.position not in known]
    return modes + await _firings(resources, submitted, fresh)


async def _firings(resources: Resources, submitted: Record, fresh: list[Record]) -> list[Record]:
    story = Story()
    why.take(story, submitted)
    if story.job is None or story.job.schedule is None:
        return []
    name, before = story.job.schedule, (submitted.time + 1000, "", 0)
    found = await resources.tables.schedule_events(name, before, OCCURRENCES)
    known = {record.position for record in found}
    mark = f'"schedule":"{name}"'.encode()
    new = [
        record
        for record in fresh
        if record.type.startswith("schedule.")
        and mark in record.body
        and record.position not in known
    ]
    return [*reversed(found), *new]


async def _halt(resources: Resources, queue: str) -> Halt | None:
    head = await resources.logs.head(queue)
    if head.lost is None:
        return None
    pool = resources.tables.pool
    known = (await queries.checkpoints(pool)).get(queue)
    if known is None or not known.seq:
        return Halt(head.lost)
    since = await queries.loss_noted_at(pool, queue, known)
    end = position(queue, known.epoch, known.seq)
    return Halt(head.lost, since, end, time_of_entry(known.entry))


async def _facts(resources: Resources, job: Job) -> Facts:
    queue = resources.directory.queue(job.queue)
    standing, bounds, seen = await asyncio.gather(
        queue.inspect(), queue.limits(), resources.workers.all()
    )
    gate = None
    if job.state is JobState.BLOCKED:
        keys = Keys(resources.settings.namespace)
        found = await gate_of(resources.redis, keys, job.queue, job.id)
        if found is not None:
            gate = Gate(found.running, found.holders, found.bound, found.ahead, found.opens_at)
    limits = limits_of(bounds)
    return Facts(
        now=standing.now,
        mode=standing.mode,
        queued=standing.queued,
        running=standing.running,
        concurrency=limits.get("concurrency"),
        rated="rate" in limits,
        servers=[_server_of(one) for one in seen if job.queue in one.report.queues],
        gate=gate,
        awaited=await _awaited(resources, job) if job.blocked_on == JOBS else None,
    )


async def _awaited(resources: Resources, job: Job) -> Awaited:
    found = await resources.directory.queue(job.queue).awaits(job.id, AWAITED)
    ends = await resources.tables.ends(found.some)
    unhappy: list[tuple[str, Outcome]] = [
        (parent, end) for parent, end in ends.items() if end in ("failed", "cancelled")
    ]
    return Awaited(found.left, found.open, unhappy[:UNHAPPY])


def _server_of(seen: Seen) -> Server:
    report = seen.report
    busy = report.running >= report.concurrency
    return Server(report.name, seen.condition, report.types, busy)

"""Jobs and queues as they were: ?at= of a job and of the list, counts of a queue, and what changed
between two instants."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from ..core.errors import LogLost
from ..core.jobs import JobState
from ..projections.as_of import Counts, Difference, counts_at, page_at
from ..projections.as_of.reading import time_of_entry
from ..projections.listing import JobFilter
from ..projections.queries import JobPage
from . import lookup
from .answers import answer
from .parameters import BetweenParameters, CountsParameters, read
from .problems import INVALID, NOT_FOUND, UNPROCESSABLE, Fault, Problem
from .queues import known_queue
from .resources import Resources, resources_of
from .together import together
from .views import JobView, Time, time_of, view_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_SAME = ("id", "queue", "position")
"""What never changes, or with each event."""


class CountsView(Struct):
    """Jobs of a queue by state at an instant; `position`: of the last event until then."""

    name: str
    at: Time
    by_state: dict[str, int]
    total: int
    position: str | None


class StateChange(Struct):
    """How many jobs were in a state at two instants."""

    before: int
    after: int
    change: int


class CountsDifference(Struct):
    """How the counts of a queue differ between two instants."""

    name: str
    from_: Time = msgspec.field(name="from")
    to: Time
    by_state: dict[str, StateChange]


class FieldChange(Struct):
    """A field of a job, as it is shown, at two instants; null: it had no value, or no job was."""

    before: Any
    after: Any


class EventHead(Struct):
    """An event without its body."""

    position: str
    time: Time
    type: str
    version: int


class JobDifference(Struct):
    """What changed in a job: fields that differ, and the events in between.

    `more_events`: how many of those are not told here.
    """

    id: str
    from_: Time = msgspec.field(name="from")
    to: Time
    changes: dict[str, FieldChange]
    events: list[EventHead]
    more_events: int


async def job_at(resources: Resources, job: str, at: datetime) -> JobView:
    """The job as it was. Raises Problem: in the future, not found, or not yet submitted then."""
    instant = await instant_of(resources, at, "at")
    found = await resources.past.job(job, instant)
    if found is None:
        raise await _not_then(resources, job, instant)
    (shown,) = await resources.encryption.opened([found])
    return view_of(shown)


async def jobs_at(
    resources: Resources, wanted: JobFilter, at: datetime, cursor: str | None, limit: int
) -> JobPage:
    """A page of jobs as they were. Raises Problem, InvalidCursor."""
    instant = await instant_of(resources, at, "at")
    partitions = [wanted.queue] if wanted.queue else await resources.directory.partitions()
    await _passed(resources, partitions, instant)
    return await page_at(resources.tables.pool, wanted, instant, cursor, limit)


@get("/jobs/{job_id:str}/diff")
async def get_job_diff(request: Request[Any, Any, Any], job_id: FromPath[str]) -> ASGIResponse:
    """What changed in a job between two instants."""
    resources, given = resources_of(request), read(request, BetweenParameters)
    before, after = await _between(resources, given)
    found = await resources.past.difference(job_id, before, after)
    if found is None:
        raise await _not_then(resources, job_id, after)
    return answer(_difference_of(job_id, before, after, await _opened(resources, found)))


@get("/queues/{queue:str}/counts")
async def get_counts(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """The counts of a queue at an instant, exactly."""
    resources, given = resources_of(request), read(request, CountsParameters)
    await known_queue(resources, queue)
    at = await _now(resources) if given.at is None else await instant_of(resources, given.at, "at")
    found = await _counts(resources, queue, at)
    states = {state.value: found.by_state[state] for state in JobState}
    return answer(CountsView(queue, time_of(at), states, sum(states.values()), found.position))


@get("/queues/{queue:str}/diff")
async def get_queue_diff(request: Request[Any, Any, Any], queue: FromPath[str]) -> ASGIResponse:
    """How the counts of a queue differ between two instants."""
    resources, given = resources_of(request), read(request, BetweenParameters)
    await known_queue(resources, queue)
    before, after = await _between(resources, given)
    old, new = [await _counts(resources, queue, at) for at in (before, after)]
    states = {
        state.value: StateChange(a := old.by_state[state], b := new.by_state[state], b - a)
        for state in JobState
    }
    return answer(CountsDifference(queue, time_of(before), time_of(after), states))


async def instant_of(resources: Resources, at: datetime, name: str) -> int:
    """Ms since 1970 of a past instant. Raises Problem if it has not come yet.

    What the archive has seen is past, whether Redis can be asked or not.
    """
    instant = ms_of(at)
    archived = (await resources.tables.checkpoints()).values()
    if any(time_of_entry(checkpoint.entry) > instant for checkpoint in archived):
        return instant
    now = await _now(resources)
    if instant > now:
        message = f"expected a time that has passed (it is {time_of(now)}), got {time_of(instant)}"
        raise Problem(UNPROCESSABLE, f"{message}.", [Fault(f"$.{name}", message, "query")])
    return instant


def ms_of(at: datetime) -> int:
    """Whole ms since 1970, rounded down: an event of a later ms has not happened then."""
    return (at - _EPOCH) // _MS


async def _between(resources: Resources, given: BetweenParameters) -> tuple[int, int]:
    before = await instant_of(resources, given.from_, "from")
    after = await _now(resources) if given.to is None else ms_of(given.to)
    if after < before:
        message = f"expected a time after {time_of(before)}, got {time_of(after)}"
        raise Problem(INVALID, f"{message}.", [Fault("$.to", message, "query")])
    if given.to is not None:
        await instant_of(resources, given.to, "to")
    return before, after


async def _now(resources: Resources) -> int:
    return await resources.schedules.now()


async def _counts(resources: Resources, queue: str, at: int) -> Counts:
    return await counts_at(resources.tables.pool, resources.logs, queue, at)


async def _passed(resources: Resources, partitions: Sequence[str], at: int) -> None:
    """Wait until the tables hold all events up to an instant. Raises Problem if they do not."""
    known = await resources.tables.checkpoints()

    async def pass_(partition: str) -> None:
        checkpoint = known.get(partition)
        if checkpoint is None or time_of_entry(checkpoint.entry) <= at:
            # What a lost log had beyond its archive has not happened: a restore begins behind that.
            with suppress(LogLost):
                await lookup.catch_up(resources, partition)

    await together(pass_, partitions)


async def _not_then(resources: Resources, job: str, at: int) -> Problem:
    """Why there is no such job at an instant: it came later, or never."""
    first = await resources.past.first(job)
    if first is None:
        await lookup.refuse_lost(resources, job)
    if first is None or first.time <= at:
        return lookup.not_found(job)
    submitted = time_of(first.time)
    message = f"job {job} did not exist at {time_of(at)}: it was submitted at {submitted}"
    return Problem(NOT_FOUND, f"{message}.", [Fault("$.at", message, "query")])


async def _opened(resources: Resources, found: Difference) -> Difference:
    """The same, with what is encrypted opened, or left out where it was erased."""
    jobs = [found.after] if found.before is None else [found.after, found.before]
    after, *before = await resources.encryption.opened(jobs)
    return found._replace(after=after, before=before[0] if before else None)


def _difference_of(job: str, before: int, after: int, found: Difference) -> JobDifference:
    old = None if found.before is None else view_of(found.before)
    heads = [EventHead(r.position, time_of(r.time), r.type, r.version) for r in found.events]
    changes = changes_of(old, view_of(found.after))
    return JobDifference(job, time_of(before), time_of(after), changes, heads, found.more)


def changes_of(old: JobView | None, new: JobView) -> dict[str, FieldChange]:
    """The fields of a job that differ, as they are shown."""
    found: dict[str, FieldChange] = {}
    for name in JobView.__struct_fields__:
        before, after = None if old is None else getattr(old, name), getattr(new, name)
        if name not in _SAME and before != after:
            found[name] = FieldChange(before, after)
    return found

"""Doing one thing to many jobs: page by page of the tables, batch by batch of each queue's verbs.

What the tables show may be over; the verbs decide, job by job and atomically. So two operators may
do the same at once, and a request that broke off may be sent again.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ..core.errors import InvalidCursor, MillstreamError, QueueDraining
from ..core.events import Command, JobDiscarded
from ..core.queue import Redrive
from ..projections.listing import JobFilter
from ..projections.targets import SPECS_AT_ONCE, Target
from .problems import INVALID, Fault, Problem, problem_of
from .resources import Resources
from .together import together

PAGE = 500
"""Jobs of one call of a verb: others must get a turn."""

SETTLE = 2.0
"""Seconds to wait for the tables, so that jobs submitted a moment ago are seen; not longer, since
the tables of a queue may stand still."""

SETTLE_QUEUES = 100
"""Most queues to wait for."""

CALL_BYTES = 4 * 2**20
"""Most bytes of specs in one call, unless one alone is larger."""

CHANGED = frozenset({"cancelled", "requested", "queued", "rescheduled", "scheduled", "discarded"})

Apply = Callable[[str, Sequence[Target]], Awaitable[list[str]]]
"""Does it to jobs of one queue; an outcome for each."""


@dataclass(slots=True)
class Tally:
    """What became of how many jobs."""

    matched: int = 0
    changed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Sequence[str]) -> None:
        """Count outcomes of verbs."""
        for outcome in outcomes:
            (self.changed if outcome in CHANGED else self.skipped)[outcome] += 1


async def settle(resources: Resources, queue: str | None) -> None:
    """Wait a moment for the tables of the queue, or of all, to hold what has happened."""
    partitions = [queue] if queue else await resources.directory.partitions()
    if len(partitions) > SETTLE_QUEUES:
        return
    heads = await together(resources.logs.head, partitions)

    async def passed() -> list[bool]:  # a gathering by itself, cancelled, would log an error
        return await asyncio.gather(
            *(
                resources.changes.wait_position(partition, head.epoch, head.seq, SETTLE)
                for partition, head in zip(partitions, heads, strict=True)
                if head.seq and head.lost is None
            )
        )

    await resources.unless_draining(passed(), otherwise=[])


async def act(
    resources: Resources,
    wanted: JobFilter,
    apply: Apply | None,
    tally: Tally,
    cursor: str | None,
    limit: int,
) -> str | None:
    """Do it to at most `limit` jobs after the cursor, or only count them; where to go on.

    Raises Problem; one met on the way tells what was done before it, and where to go on.
    """
    while True:
        try:
            page = await resources.tables.targets(wanted, cursor, min(limit, PAGE))
            tally.matched += len(page.items)
            if apply is not None:
                await _apply(apply, page.items, tally)
        except InvalidCursor as error:
            raise Problem(INVALID, f"{error}.", [Fault("$.cursor", str(error))]) from None
        except (MillstreamError, Problem) as error:
            raise _interrupted(error, tally, cursor) from error
        cursor = page.next_cursor
        limit -= len(page.items)
        if cursor is None or limit <= 0 or resources.draining.is_set():
            return cursor


async def _apply(apply: Apply, targets: Sequence[Target], tally: Tally) -> None:
    by_queue: dict[str, list[Target]] = defaultdict(list)
    for target in reversed(targets):  # oldest first: what runs again keeps its order
        by_queue[target.queue].append(target)
    for queue, members in by_queue.items():
        tally.add(await apply(queue, members))


def _interrupted(error: MillstreamError | Problem, tally: Tally, cursor: str | None) -> Problem:
    """The problem, with what was done; from `cursor` on it may be done again."""
    problem = error if isinstance(error, Problem) else problem_of(error)
    changed = tally.changed.total()
    if not changed:
        return problem
    detail = f"{problem.detail} {changed} jobs are changed; send it again for the others."
    return Problem(problem.kind, detail, changed=changed, next_cursor=cursor)


def cancelling(resources: Resources, by: Command) -> Apply:
    """Cancel: waiting jobs at once, running ones by asking their workers."""

    async def apply(queue: str, targets: Sequence[Target]) -> list[str]:
        outcomes = await resources.directory.queue(queue).cancel([one.id for one in targets], by)
        resources.joiner.wake(queue)
        return outcomes

    return apply


def rescheduling(resources: Resources, due: str, by: Command) -> Apply:
    """Give waiting jobs another time."""

    async def apply(queue: str, targets: Sequence[Target]) -> list[str]:
        ids = [one.id for one in targets]
        return await resources.directory.queue(queue).reschedule(ids, due, by)

    return apply


def discarding(resources: Resources, by: JobDiscarded) -> Apply:
    """Take failed jobs from the dead letters."""

    async def apply(queue: str, targets: Sequence[Target]) -> list[str]:
        jobs = [(one.id, one.version) for one in targets]
        outcomes = await resources.directory.queue(queue).discard(jobs, by)
        resources.joiner.wake(queue)
        return outcomes

    return apply


class Pace:
    """When jobs that are run again are due, one after the other: the first `delay` seconds from
    now, then `rate` a second; all at once without a rate."""

    def __init__(self, delay: float | None = None, rate: float | None = None) -> None:
        self._next = (delay or 0.0) * 1000
        self._step = 0.0 if rate is None else 1000 / rate

    def take(self) -> int:
        """Ms from now until the next job is due."""
        due = round(self._next)
        self._next += self._step
        return due


def retrying(resources: Resources, pace: Pace, by: Command) -> Apply:
    """Run ended jobs again. Outcomes beside those of the verb: draining (the queue takes none) and
    unknown (the archive no longer holds the spec)."""

    async def apply(queue: str, targets: Sequence[Target]) -> list[str]:
        outcomes: list[str] = []
        for first in range(0, len(targets), SPECS_AT_ONCE):
            part = targets[first : first + SPECS_AT_ONCE]
            specs = await resources.tables.specs([one.id for one in part])
            jobs = [
                Redrive(one.id, one.priority, one.version, specs[one.id], pace.take())
                for one in part
                if one.id in specs
            ]
            outcomes += ["unknown"] * (len(part) - len(jobs))
            for call in _calls(jobs):
                outcomes += await _redrive(resources, queue, call, by)
        return outcomes

    return apply


async def _redrive(
    resources: Resources, queue: str, jobs: Sequence[Redrive], by: Command
) -> list[str]:
    try:
        return await resources.directory.queue(queue).redrive(jobs, by)
    except QueueDraining:
        return ["draining"] * len(jobs)


def _calls(jobs: Sequence[Redrive]) -> list[list[Redrive]]:
    """The jobs in calls of a bounded size."""
    calls: list[list[Redrive]] = []
    size = CALL_BYTES + 1
    for job in jobs:
        size += len(job.spec)
        if size > CALL_BYTES:
            calls.append([])
            size = len(job.spec)
        calls[-1].append(job)
    return calls

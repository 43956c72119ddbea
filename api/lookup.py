"""Finding a job wherever it stands: in the tables, or, when those lag behind, in hot state.

A job that a client was told of is never «not found»: what the tables do not know is looked for in
hot state, and what is not there either ended a moment ago or never was; which of the two, only the
tables can tell once they have caught up.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import msgspec

from ..core.errors import LogLost
from ..core.hot import HotJob
from ..core.ids import is_id
from ..core.jobs import Job
from .parameters import read_position
from .problems import BEHIND, NOT_FOUND, UNPROCESSABLE, Fault, Problem
from .resources import Resources
from .views import JobView, view_of, view_of_hot

CATCH_UP = 10.0
"""Seconds a read waits for the tables to catch up."""


@dataclass(slots=True, frozen=True)
class Found:
    """A job: `archived` as the tables have it, or else `hot`, living in `partition`."""

    partition: str
    archived: Job | None = None
    hot: HotJob | None = None

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self.archived is not None and self.archived.terminal

    def view(self) -> JobView:
        """The job as the API shows it."""
        if self.archived is not None:
            return view_of(self.archived)
        assert self.hot is not None
        return view_of_hot(self.hot, self.partition)


async def find(resources: Resources, job: str) -> Found:
    """The job. Raises Problem: not found, tables down or behind; Unavailable of Redis."""
    if not is_id(job):
        raise not_found(job)
    down: Problem | None = None
    try:
        found = await resources.tables.job(job)
    except Problem as problem:
        found, down = None, problem
    if found is not None:
        return Found(found.queue, archived=found)
    living = await find_hot(resources, job)
    if living is not None:
        return living
    if not await resources.directory.partitions_of(job):
        raise not_found(job)
    if down is not None:
        raise down
    return await find_settled(resources, job)


async def find_hot(resources: Resources, job: str) -> Found | None:
    """The job if it lives, from hot state. Raises Unavailable."""
    for partition in await resources.directory.partitions_of(job):
        hot = await resources.directory.queue(partition).job(job)
        if hot is not None:
            return Found(partition, hot=hot)
    return None


async def find_settled(resources: Resources, job: str) -> Found:
    """The job from tables that hold all that had happened when this was asked."""
    for partition in await resources.directory.partitions_of(job):
        with suppress(LogLost):
            await catch_up(resources, partition)
    found = await resources.tables.job(job)
    if found is None:
        await refuse_lost(resources, job)
        raise not_found(job)
    return Found(found.queue, archived=found)


async def refuse_lost(resources: Resources, job: str) -> None:
    """Raise LogLost if a lost log may have told of a job that the tables do not know."""
    for partition in await resources.directory.partitions_of(job) if is_id(job) else ():
        head = await resources.logs.head(partition)
        if head.lost is not None:
            raise _lost(f"job {job}", partition, head.lost)


async def opened(resources: Resources, found: Found) -> Found:
    """The same, with what is encrypted opened, or left out where it was erased."""
    if found.archived is not None:
        (job,) = await resources.encryption.opened([found.archived])
        return replace(found, archived=job)
    assert found.hot is not None
    spec = found.hot.spec
    spec = msgspec.structs.replace(spec, payload=await resources.encryption.open(spec.payload))
    return replace(found, hot=msgspec.structs.replace(found.hot, spec=spec))


async def catch_up(resources: Resources, partition: str) -> None:
    """Wait until the tables hold all that the log of `partition` holds now.

    Raises Problem, and LogLost: nobody can tell what that is.
    """
    head = await resources.logs.head(partition)
    if head.lost is not None:
        raise _lost("the whole log", partition, head.lost)
    if head.seq and not await _reached(resources, partition, head.epoch, head.seq):
        raise _behind(f"{partition}:{head.epoch}:{head.seq}")


async def find_after(resources: Resources, job: str, after: str) -> Found:
    """The job as it was at the position `after`, or later."""
    partition, epoch, seq = read_position(after)
    head = await resources.logs.head(partition)
    if head.lost is not None:
        known = (await resources.tables.checkpoints()).get(partition)
        if known is None or (known.epoch, known.seq) < (epoch, seq):
            raise _lost(after, partition, head.lost)
        return await find(resources, job)
    if (epoch, seq) > (head.epoch, head.seq):
        message = f"expected a position up to {partition}:{head.epoch}:{head.seq}, got {after}"
        raise Problem(UNPROCESSABLE, f"{message}.", [Fault("$.after", message, "query")])
    if await _reached(resources, partition, epoch, seq):
        return await find(resources, job)
    # Hot state changes together with the log, so it includes every position there is.
    found = await find_hot(resources, job) if is_id(job) else None
    if found is None:
        raise _behind(after)
    return found


async def find_ended(resources: Resources, job: str, wait: float, after: str | None) -> Found:
    """The job when it has ended, or as it is after `wait` seconds."""
    deadline = time.monotonic() + wait
    # Listening begins before looking, else an end in between would be waited for in vain.
    ended = asyncio.create_task(resources.changes.wait_terminal(job, wait))
    await asyncio.sleep(0)
    try:
        found = await (find_after(resources, job, after) if after else find(resources, job))
        if found.terminal or time.monotonic() >= deadline:
            return found
        await resources.unless_draining(ended, otherwise=False)
    finally:
        ended.cancel()
    return await find(resources, job)


async def _reached(resources: Resources, partition: str, epoch: int, seq: int) -> bool:
    waiting = resources.changes.wait_position(partition, epoch, seq, CATCH_UP)
    return await resources.unless_draining(waiting, otherwise=False)


def not_found(job: str) -> Problem:
    """The problem of a job that does not exist."""
    fault = Fault("$.job_id", "expected the id of a job", "path")
    return Problem(NOT_FOUND, f"There is no job {job[:80]!r}.", [fault])


def _lost(what: str, partition: str, reason: str) -> LogLost:
    return LogLost(
        f"The tables do not know {what}, and queue {partition} is halted until"
        f" `millstream restore`: {reason}"
    )


def _behind(position: str) -> Problem:
    return Problem(BEHIND, f"The tables did not reach {position} within {CATCH_UP:g} seconds.")

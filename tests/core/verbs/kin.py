"""Short words for tests of jobs that wait for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.joining import Joiner
from millstream.core.submitting import NewJob, new_job
from millstream.core.upcast import decode

from .mill import Mill

FAR = 9_000_000_000_000


def dependent(mill: Mill, parents: Sequence[str], policy: str = "fail", **spec: Any) -> NewJob:
    """A job that waits for these, prepared."""
    made = ev.JobSubmitted("noop", on_parent_failure=policy, depends_on=list(parents), **spec)
    return new_job(new_id(mill.partition), made)


def family(
    mill: Mill, policy: str = "fail", parents: int = 1, **spec: Any
) -> tuple[list[NewJob], NewJob]:
    """Parents that know who waits for them, and who does."""
    ids = [new_id(mill.partition) for _ in range(parents)]
    child = dependent(mill, ids, policy, **spec)
    mark = "*" if policy == "wait" else ""
    first = [new_job(id, ev.JobSubmitted("noop"))._replace(before=[child.id + mark]) for id in ids]
    return first, child


async def deliver(mill: Mill) -> None:
    await Joiner(mill.directory).deliver(mill.partition)


async def run_all(mill: Mill, verdict: Any = "succeeded") -> list[str]:
    """Claim what may run and end it; which jobs that were."""
    leases = await mill.claim()
    for lease in leases:
        assert await mill.finish(lease, verdict)
    return [lease.id for lease in leases]


async def submit_family(mill: Mill, *args: Any, **how: Any) -> tuple[list[str], str]:
    await mill.register()
    parents, child = family(mill, *args, **how)
    await mill.send([*parents, child])
    return [job.id for job in parents], child.id


async def outbox(mill: Mill) -> int:
    return await mill.queue.outbox()


async def last(mill: Mill, job: str) -> ev.Event:
    return decode((await mill.log(job))[-1])

"""Jobs that others are to wait for: each is told so, or it is found out how it ended.

A parent that lives notes who waits for it, in one step. How one ended that does not live, only the
tables know, once they have caught up.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..core.ids import code_of, new_id
from ..core.jobs import TERMINAL, JobState
from ..core.keys import partition_code
from ..core.linking import Outcome
from . import lookup
from .orders import Order
from .problems import CONFLICT, UNPROCESSABLE, Fault, Problem
from .resources import Resources
from .submitter import insist

CALL = 1000
"""Pairs of one call of the verb."""

ATTEMPTS = 3

OUTCOMES: dict[JobState, Outcome] = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


class Wish(NamedTuple):
    """That a job, not submitted yet, wait for another; where the request says so.

    stays  it waits on if that one does not succeed
    """

    dependent: str
    parent: str
    stays: bool
    path: str

    @property
    def pair(self) -> tuple[str, str]:
        """As the verb takes it."""
        return self.parent, self.dependent + ("*" if self.stays else "")


async def linked(
    resources: Resources,
    queues: Sequence[str],
    orders: Sequence[Order],
    path_of: Callable[[int], str],
) -> list[Order]:
    """Orders ready to be submitted: the jobs they depend on are told, or known to have ended.

    `path_of`: where the request has the job of that index. Raises as `resolve`.
    """
    named: list[Order] = []
    wishes: list[Wish] = []
    for index, (queue, order) in enumerate(zip(queues, orders, strict=True)):
        if order.spec.depends_on:
            order = order if order.id else order._replace(id=new_id(queue))
            # Before a parent can end: who tells its end must know where to look.
            await resources.submitter.link(queue)
            wishes += wishes_of(order, path_of(index))
        named.append(order)
    ended = await resolve(resources, wishes)
    return [with_ends(order, ended) for order in named]


def with_ends(order: Order, ended: Mapping[str, Outcome]) -> Order:
    """The order, told how those of its parents ended that have."""
    found = {job: ended[job] for job in order.spec.depends_on if job in ended}
    return order._replace(ended=found) if found else order


def wishes_of(order: Order, path: str) -> list[Wish]:
    """What an order that has an id wishes; `path`: that of the job in the request."""
    assert order.id is not None
    stays = order.spec.on_parent_failure == "wait"
    return [
        Wish(order.id, parent, stays, f"{path}.depends_on[{index}]")
        for index, parent in enumerate(order.spec.depends_on)
    ]


async def resolve(
    resources: Resources, wishes: Sequence[Wish], *, missing: bool = False
) -> dict[str, Outcome]:
    """How those parents ended that do not live; all others are told who waits for them.

    Raises Unavailable, and Problem that names those that never were, unless they may be `missing`.
    """
    places = await _places(resources, (wish.parent for wish in wishes))
    found: dict[str, Outcome] = {}
    todo = list(wishes)
    for _ in range(ATTEMPTS):
        todo = await _not_living(resources, todo, places)
        if not todo:
            return found
        states = await _states(resources, {wish.parent for wish in todo}, places)
        if missing:
            found |= {wish.parent: "missing" for wish in todo if wish.parent not in states}
        else:
            _refuse_unknown(todo, states)
        found |= {job: OUTCOMES[state] for job, state in states.items() if state in TERMINAL}
        # Of the others the tables say that they live: they were run again a moment ago.
        todo = [wish for wish in todo if wish.parent not in found]
        staying = [wish for wish in wishes if wish.stays and found.get(wish.parent) in _UNHAPPY]
        if staying:
            await _stay(resources, staying, places, found)
        if not todo:
            return found
    raise Problem(CONFLICT, f"Job {todo[0].parent} is run again and again: its end is not known.")


_UNHAPPY = ("failed", "cancelled")

Places = dict[str, list[str]]
"""Parent → the partitions it can live in."""


async def outcomes_of(resources: Resources, jobs: Sequence[str]) -> dict[str, Outcome]:
    """How those of these jobs ended that have."""
    places = await _places(resources, jobs)
    states = await _states(resources, jobs, places)
    return {job: OUTCOMES[state] for job, state in states.items() if state in TERMINAL}


async def _places(resources: Resources, jobs: Iterable[str]) -> Places:
    codes: dict[int, list[str]] = {}
    for name in await resources.directory.partitions():
        codes.setdefault(partition_code(name), []).append(name)
    return {job: codes.get(code_of(job), []) for job in jobs}


async def _not_living(
    resources: Resources, wishes: Sequence[Wish], places: Places, *, ended: bool = False
) -> list[Wish]:
    """Tell the parents that live who waits for them; what is wished of others."""
    living: set[Wish] = set()
    by_partition: dict[str, list[Wish]] = {}
    for wish in wishes:
        for partition in places[wish.parent]:
            by_partition.setdefault(partition, []).append(wish)
    for partition, members in by_partition.items():
        await resources.submitter.link(partition)
        queue = resources.directory.queue(partition)
        for first in range(0, len(members), CALL):
            part = members[first : first + CALL]
            pairs = [wish.pair for wish in part]
            replies = await insist(lambda: queue.watch(pairs, ended=ended))  # noqa: B023
            living.update(wish for wish, lives in zip(part, replies, strict=True) if lives)
    return [wish for wish in wishes if wish not in living]


async def _states(
    resources: Resources, parents: Collection[str], places: Places
) -> dict[str, JobState]:
    """What the tables say of jobs that did not live when this was asked."""
    states = await resources.tables.states(list(parents))
    # A success is final; whatever else they say may be over.
    unsure = [job for job in parents if states.get(job) is not JobState.SUCCEEDED]
    for partition in sorted({name for job in unsure for name in places[job]}):
        await lookup.catch_up(resources, partition)
    return states | await resources.tables.states(unsure)


def _refuse_unknown(wishes: Sequence[Wish], states: dict[str, JobState]) -> None:
    faults = [
        Fault(wish.path, f"expected a job that was submitted, got {wish.parent}")
        for wish in wishes
        if wish.parent not in states
    ]
    if faults:
        detail = f"{faults[0].message} (at {faults[0].path})."
        raise Problem(UNPROCESSABLE, detail, faults[:20])


async def _stay(
    resources: Resources, staying: Sequence[Wish], places: Places, found: dict[str, Outcome]
) -> None:
    """Have parents that did not succeed note who waits until they do, being run again."""
    await _not_living(resources, staying, places, ended=True)
    states = await _states(resources, {wish.parent for wish in staying}, places)
    # Run again, it may have succeeded before it was told.
    found.update((job, "succeeded") for job, state in states.items() if state is JobState.SUCCEEDED)

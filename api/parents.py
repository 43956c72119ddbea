"""Jobs that those of a request are to wait for: what of it is the API's."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from ..core.ids import new_id
from ..core.linking import MAX_DEPENDENTS, Outcome, Watched
from ..projections import parents
from ..projections.parents import Crowded, Restless, Wish
from . import lookup
from .orders import Order
from .problems import CONFLICT, UNPROCESSABLE, Fault, Problem
from .resources import Resources
from .submitter import insist


class _Sources:
    """As `parents` asks; errors are Unavailable and Problem."""

    def __init__(self, resources: Resources) -> None:
        self.partitions = resources.directory.partitions
        self.link = resources.submitter.link
        self.ends = resources.tables.ends
        self.catch_up = partial(lookup.catch_up, resources)
        self._directory = resources.directory

    async def watch(
        self, partition: str, pairs: Sequence[tuple[str, str]], ended: bool
    ) -> list[Watched]:
        queue = self._directory.queue(partition)
        return await insist(lambda: queue.watch(pairs, ended=ended))


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


async def resolve(resources: Resources, wishes: Sequence[Wish]) -> dict[str, Outcome]:
    """How those parents ended that do not live; all others are told who waits for them.

    Raises Unavailable, and Problem that names those that never were, or one that too many await.
    """
    try:
        return await parents.resolve(_Sources(resources), wishes, _refuse_unknown)
    except Restless as error:
        raise Problem(CONFLICT, str(error)) from None
    except Crowded as error:
        wish = error.wish
        expected = f"expected a job that fewer than {MAX_DEPENDENTS} others wait for"
        fault = Fault(wish.path, f"{expected}, got {wish.parent}, for which so many do")
        raise Problem(UNPROCESSABLE, f"{fault.message} (at {fault.path}).", [fault]) from None


async def outcomes_of(resources: Resources, jobs: Sequence[str]) -> dict[str, Outcome]:
    """How those of these jobs ended that have."""
    return await parents.outcomes_of(_Sources(resources), jobs)


def _refuse_unknown(wishes: Sequence[Wish], known: Collection[str]) -> None:
    faults = [
        Fault(wish.path, f"expected a job that was submitted, got {wish.parent}")
        for wish in wishes
        if wish.parent not in known
    ]
    if faults:
        detail = f"{faults[0].message} (at {faults[0].path})."
        raise Problem(UNPROCESSABLE, detail, faults[:20])

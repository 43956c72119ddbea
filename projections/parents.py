"""How jobs ended that others are to wait for; those that live are told who waits for them.

A parent that lives notes who waits for it, in one step. How one ended that does not live, only the
tables know, once they have caught up.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from ..core.errors import MillstreamError
from ..core.ids import code_of
from ..core.keys import partition_code
from ..core.linking import Outcome, Watched

CALL = 1000
"""Pairs of one call of the verb."""

ATTEMPTS = 3


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


class Restless(MillstreamError):
    """A parent was run again whenever its end was looked for."""


class Crowded(MillstreamError):
    """As many jobs wait for a parent as may."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(f"as many jobs wait for {wish.parent} as may")
        self.wish = wish


class Sources(Protocol):
    """What is asked: the servers, each call in the way and with the errors of who asks."""

    async def partitions(self) -> list[str]:
        """All there are."""
        ...

    async def link(self, partition: str) -> None:
        """Make it known that jobs there are waited for."""
        ...

    async def watch(
        self, partition: str, pairs: Sequence[tuple[str, str]], ended: bool
    ) -> list[Watched]:
        """As the verb."""
        ...

    async def ends(self, jobs: Sequence[str]) -> dict[str, Outcome | None]:
        """How those ended that the tables know, as they say; None: it lives."""
        ...

    async def catch_up(self, partition: str) -> None:
        """Wait until the tables hold all that the log of a partition holds now."""
        ...


Refuse = Callable[[Sequence[Wish], Collection[str]], object]
"""Called with wishes and those of their parents that ever were."""


async def resolve(
    sources: Sources, wishes: Sequence[Wish], refuse: Refuse | None = None
) -> dict[str, Outcome]:
    """How those parents ended that do not live; all others are told who waits for them.

    One that never was is `missing`, unless `refuse` refuses that. Raises what the sources raise,
    Restless, and Crowded if `refuse` is given: who has made an edge long ago keeps it.
    """
    places = await _places(sources, (wish.parent for wish in wishes))
    found: dict[str, Outcome] = {}
    todo = list(wishes)
    for _ in range(ATTEMPTS):
        todo = await _not_living(sources, todo, places, strict=refuse is not None)
        if not todo:
            return found
        ends = await _ends(sources, {wish.parent for wish in todo}, places)
        if refuse is not None:
            refuse(todo, ends)
        else:
            found |= {wish.parent: "missing" for wish in todo if wish.parent not in ends}
        found |= {job: outcome for job, outcome in ends.items() if outcome is not None}
        # Of the others the tables say that they live: they were run again a moment ago.
        todo = [wish for wish in todo if wish.parent not in found]
        staying = [wish for wish in wishes if wish.stays and found.get(wish.parent) in _UNHAPPY]
        if staying:
            await _stay(sources, staying, places, found, strict=refuse is not None)
        if not todo:
            return found
    raise Restless(f"Job {todo[0].parent} is run again and again: its end is not known.")


_UNHAPPY = ("failed", "cancelled")

Places = dict[str, list[str]]
"""Parent → the partitions it can live in."""


async def outcomes_of(sources: Sources, jobs: Sequence[str]) -> dict[str, Outcome]:
    """How those of these jobs ended that have."""
    places = await _places(sources, jobs)
    ends = await _ends(sources, jobs, places)
    return {job: outcome for job, outcome in ends.items() if outcome is not None}


async def _places(sources: Sources, jobs: Iterable[str]) -> Places:
    codes: dict[int, list[str]] = {}
    for name in await sources.partitions():
        codes.setdefault(partition_code(name), []).append(name)
    return {job: codes.get(code_of(job), []) for job in jobs}


async def _not_living(
    sources: Sources, wishes: Sequence[Wish], places: Places, *, strict: bool, ended: bool = False
) -> list[Wish]:
    """Tell the parents that live who waits for them; what is wished of others.

    Raises Crowded if that is `strict`.
    """
    living: set[Wish] = set()
    by_partition: dict[str, list[Wish]] = {}
    for wish in wishes:
        for partition in places[wish.parent]:
            by_partition.setdefault(partition, []).append(wish)
    for partition, members in by_partition.items():
        await sources.link(partition)
        for first in range(0, len(members), CALL):
            part = members[first : first + CALL]
            pairs = [wish.pair for wish in part]
            replies = await sources.watch(partition, pairs, ended)
            for wish, reply in zip(part, replies, strict=True):
                if reply == "full" and strict:
                    raise Crowded(wish)
                if reply != "gone":
                    living.add(wish)
    return [wish for wish in wishes if wish not in living]


async def _ends(
    sources: Sources, parents: Collection[str], places: Places
) -> dict[str, Outcome | None]:
    """What the tables say of jobs that did not live when this was asked."""
    ends = await sources.ends(list(parents))
    # A success is final; whatever else they say may be over.
    unsure = [job for job in parents if ends.get(job) != "succeeded"]
    for partition in sorted({name for job in unsure for name in places[job]}):
        await sources.catch_up(partition)
    return ends | await sources.ends(unsure)


async def _stay(
    sources: Sources,
    staying: Sequence[Wish],
    places: Places,
    found: dict[str, Outcome],
    *,
    strict: bool,
) -> None:
    """Have parents that did not succeed note who waits until they do, being run again."""
    await _not_living(sources, staying, places, strict=strict, ended=True)
    ends = await _ends(sources, {wish.parent for wish in staying}, places)
    # Run again it may have succeeded, or it was discarded, before it was told.
    found.update((job, end) for job, end in ends.items() if end in ("succeeded", "discarded"))

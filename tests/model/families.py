"""Jobs that wait for others, on both sides: linked by clients, told by who brings ends to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.linking import Ended, Joined, Outcome, Overdue

from .pair import Both, Pair, Told
from .stage import Stage
from .world import MINUTE, PARTITION

if TYPE_CHECKING:
    from .clients import Spec

ENDS: dict[str, Outcome] = {
    "job.succeeded": "succeeded",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
    "job.discarded": "discarded",
}


class Link(NamedTuple):
    """Whom a job waits for, how those ended that have, and who waits for it."""

    parents: list[str]
    ended: dict[str, str]
    before: list[str]


class Families(Stage):
    """What is known of jobs that wait for others.

    taken    all notices that were ever collected
    late     jobs that are still to be submitted, as each side names their times
    missing  a job that never was
    looked   jobs that were looked after just now
    """

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.taken: list[Ended] = []
        self.late: list[Both] = []
        self.looked: list[str] = []
        self.missing = new_id(PARTITION)
        pair.ids.append(self.missing)

    # -- clients ------------------------------------------------------------------

    async def link(self, ids: Sequence[str], specs: Sequence[Spec]) -> list[Link]:
        """Link jobs to each other and to others; those that live are told who waits for them."""
        links = [Link([], {}, []) for _ in specs]
        wishes: list[tuple[int, str, bool]] = []
        for n, spec in enumerate(specs):
            for pick in spec.after:
                parent = self._parent(ids, n, pick)
                if parent in links[n].parents:
                    continue
                links[n].parents.append(parent)
                if parent in ids and parent != ids[n]:
                    links[ids.index(parent)].before.append(ids[n] + _mark(spec.on_failure))
                else:
                    wishes.append((n, parent, pick % 2 == 0))
            if spec.before is not None and (found := self.opened(spec.before)):
                links[n].before.append(found + _mark(self._policy(found)))
        await self._watch(ids, specs, links, wishes)
        return links

    def _parent(self, ids: Sequence[str], n: int, pick: int) -> str:
        """Mostly a job of the same submission, or one that lives; else itself, or none at all."""
        pick, how = divmod(pick, 4)
        if how < 2 and len(ids) > 1:
            return ids[(n + 1 + pick % (len(ids) - 1)) % len(ids)]
        if how == 3 and pick % 8 < 2:
            return (ids[n], self.missing)[pick % 8]
        return self.lives(pick)

    async def _watch(
        self,
        ids: Sequence[str],
        specs: Sequence[Spec],
        links: Sequence[Link],
        wishes: Sequence[tuple[int, str, bool]],
    ) -> None:
        pairs = [(parent, ids[n] + _mark(specs[n].on_failure)) for n, parent, _ in wishes]
        living = await self.watch(pairs)
        ends = self.ends_known()
        staying: list[tuple[str, str]] = []
        for (n, parent, asked), pair, lives in zip(wishes, pairs, living, strict=True):
            if not lives:
                found = ends.get(parent, "?")
                links[n].ended[parent] = found if asked else "?"
                if pair[1].endswith("*") and found in ("failed", "cancelled"):
                    staying.append(pair)
        await self.watch(staying, ended=True)

    async def watch(self, pairs: Sequence[tuple[str, str]], *, ended: bool = False) -> list[bool]:
        both = await self.pair.call(lambda queue: queue.watch(pairs, ended=ended))
        assert both
        return [reply == "lives" for reply in both.memory]

    def ends_known(self) -> dict[str, Outcome]:
        """How jobs ended last, as an archive has it."""
        log = self.rooms.log
        return {one.job: ENDS[one.type] for one in log if one.type in ENDS}

    # -- open jobs ----------------------------------------------------------------

    def opened(self, pick: int) -> str | None:
        """A job that is open; or one that waits for others, but not for more."""
        links = self.rooms.links
        waiting = [job for job in links.parents if job in self.rooms.jobs.live]
        among = [job for job in waiting if links.is_open(job)] if pick % 8 else waiting
        return among[pick // 8 % len(among)] if among else None

    def _policy(self, job: str) -> str | None:
        return self.rooms.jobs.live[job].head.on_parent_failure

    async def extend(self, pick: int, picks: Sequence[int], *, close: bool) -> None:
        """An open job waits for more, which live or have lived."""
        job = self.opened(pick) or self.lives(pick)
        parents = list(dict.fromkeys(self.lives(one) for one in picks))
        live = self.rooms.jobs.live.get(job)
        mark = _mark(live.head.on_parent_failure) if live else ""
        living = await self.watch([(parent, job + mark) for parent in parents])
        known = self.ends_known()
        dead = [parent for parent, lives in zip(parents, living, strict=True) if not lives]
        ended: dict[str, Outcome] = {one: known[one] for one in dead if one in known}
        end = ev.JobClosed("ada") if close else None
        await self.pair.call(lambda queue: queue.extend(job, parents, ended, end))

    async def close(self, job: str) -> None:
        """An open job waits for no more."""
        await self.pair.call(lambda queue: queue.extend(job, [], {}, ev.JobClosed("ada")))

    # -- who brings ends to those that wait ---------------------------------------

    async def collect(self, limit: int, idle: int) -> list[Ended]:
        both = await self.pair.call(lambda queue: queue.collect(limit, idle * MINUTE))
        assert both
        self.taken += both.memory
        return both.memory

    async def join(self, notices: Sequence[Ended]) -> None:
        """Tell whom these concern."""
        news: dict[str, list[tuple[str, Outcome]]] = {}
        for one in notices:
            for job in one.dependents:
                news.setdefault(job, []).extend(one.jobs)
        await self.tell(news)

    async def tell(self, news: dict[str, list[tuple[str, Outcome]]]) -> None:
        await self.pair.call(lambda queue: queue.join(news), told=_joined)

    async def settle(self, notices: Sequence[Ended]) -> None:
        entries = [one.entry for one in notices]
        if entries:
            await self.pair.call(lambda queue: queue.settle(entries))

    async def deliver(self, limit: int = 1000, idle: int = 1) -> None:
        """As the joiner of a worker, until the outbox gives no more."""
        while found := await self.collect(limit, idle):
            await self.join(found)
            await self.settle(found)

    async def look_after(self, long: int, jobs: int, *, mend: bool, look: int = 0) -> None:
        """As the API does for who has waited for long: it knows how jobs ended."""
        both = await self.pair.call(
            lambda queue: queue.overdue(
                long * MINUTE, jobs, 1000, look_ms=look * MINUTE, seen=self.looked
            ),
            told=_overdue,
        )
        assert both
        self.looked = [one.job for one in both.memory] if mend else []
        if not mend:
            return
        coming = {one.real.id for one in self.late}
        ends, news = self.ends_known(), dict[str, list[tuple[str, Outcome]]]()
        for one in both.memory:
            wishes = [(parent, one.job + _mark(one.policy)) for parent in one.parents]
            living = await self.watch(wishes)
            for parent, lives in zip(one.parents, living, strict=True):
                if not lives and parent not in coming:
                    news.setdefault(one.job, []).append((parent, ends.get(parent, "missing")))
        await self.tell(news)


def _mark(policy: str | None) -> str:
    return "*" if policy == "wait" else ""


def _overdue(found: Sequence[Overdue]) -> Told:
    """Of those a job waits for, any are named."""
    return Told([(one.job, one.policy, sorted(one.parents)) for one in found])


def _joined(reply: Joined) -> Told:
    return Told(tuple(reply))

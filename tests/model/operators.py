"""Operators on both sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from millstream.core import events as ev
from millstream.core.jobs import JobState
from millstream.core.memory.gates import Bound, Rate
from millstream.core.operating import Mode, Purged, Standing
from millstream.core.queue import Redrive
from tests.core.verbs.mill import ADA

from .pair import Pair, Told, says
from .stage import Stage, mostly
from .world import MINUTE

ENDS = ("job.succeeded", "job.failed", "job.cancelled", "job.discarded")


class Operators(Stage):
    """`purges` are all that were begun: states, cursor of the server and of the memory."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.purges: list[tuple[frozenset[JobState], str, str]] = []

    def ends(self, picks: Sequence[int], behind: int, *, dead: bool = False) -> list[Redrive]:
        """Ends of jobs, mostly of those that are over; `behind`: not the last ones.

        dead  of jobs that are dead letters by the end that was read
        """
        made = self.pair.specs
        known = {id: end for id in made if (end := self._end_of(id, behind, dead=dead))}
        over = [end for id, end in known.items() if id not in self.rooms.jobs.live]
        return [mostly(over, list(known.values()), pick) for pick in picks if known]

    def _end_of(self, id: str, behind: int, *, dead: bool) -> Redrive | None:
        """An end of the job; an older one only while the server can know that it is."""
        ends = [one for one in self.rooms.log if one.job == id and one.type in ENDS]
        remembered = self.rooms.jobs.last_version(id, self.rooms.now)
        known = id in self.rooms.jobs.live or remembered
        if len(ends) <= behind or (behind and not known):
            return None
        end, body = ends[-1 - behind], self.pair.specs[id]
        if dead and end.type != "job.failed":
            return None
        return Redrive(id, says(body).get("priority", 5), end.version, body)

    async def cancel(self, ids: Sequence[str]) -> None:
        await self.pair.call(lambda queue: queue.cancel(ids, ADA))

    async def redrive(self, ends: Sequence[Redrive], minutes: int) -> None:
        jobs = [end._replace(delay_ms=minutes * MINUTE) for end in ends]
        await self.pair.call(lambda queue: queue.redrive(jobs, ADA))

    async def discard(self, ends: Sequence[Redrive]) -> None:
        jobs = [(end.id, end.version) for end in ends]
        by = ev.JobDiscarded(ADA.actor, ADA.reason)
        await self.pair.call(lambda queue: queue.discard(jobs, by))

    async def reschedule(self, ids: Sequence[str], minutes: int, *, named: bool) -> None:
        """So many minutes from now on, or at the time that is `named` just before the call."""
        if not named:
            due = f"+{minutes * MINUTE}"
            await self.pair.call(lambda queue: queue.reschedule(ids, due, ADA))
            return
        now = await self.pair.before_the_next()
        real, memory = (at + minutes * MINUTE for at in now)
        await self.pair.call(
            lambda queue: queue.reschedule(ids, real, ADA),
            lambda queue: queue.reschedule(ids, memory, ADA),
        )

    async def set_mode(self, mode: Mode) -> None:
        await self.pair.call(lambda queue: queue.set_mode(mode, ADA))

    async def inspect(self) -> None:
        both = await self.pair.call(lambda queue: queue.inspect(), told=_standing)
        assert both
        if oldest := both.memory.oldest:
            # Ready entries keep the time they came at, however much time a test lets pass.
            now = self.pair.clock.now
            self.pair.check_time(both.real.oldest, now - now % MINUTE + oldest % MINUTE)
        else:
            assert both.real.oldest == 0

    async def purge(self, states: Collection[JobState], limit: int, pick: int) -> None:
        """Begin a purge; or, mostly if there are any, go on with one that began before."""
        wanted, real, memory = frozenset(states), "", ""
        if self.purges and pick % 4:
            wanted, real, memory = self.purges[pick // 4 % len(self.purges)]
        both = await self.pair.call(
            lambda queue: queue.purge(ADA, real, wanted, limit),
            lambda queue: queue.purge(ADA, memory, wanted, limit),
            told=_purged,
        )
        assert both
        if both.memory.cursor:
            self.purges.append((wanted, both.real.cursor, both.memory.cursor))

    async def configure(self, bounds: Mapping[str, Bound]) -> None:
        told = {limit: words(bound) for limit, bound in bounds.items()}
        by = ev.QueueConfigured("ada", "test", dict(told))
        await self.pair.call(lambda queue: queue.configure(by, told), any_order=True)


def words(bound: Bound) -> str:
    """A bound as a verb is given it; a rate is followed by how it was said, here nothing."""
    if bound is None:
        return ""
    return f"{bound.interval} {bound.burst} {{}}" if isinstance(bound, Rate) else str(bound)


def _standing(reply: Standing) -> Told:
    return Told(reply[1:6], (reply.now, reply.next_due))


def _purged(reply: Purged) -> Told:
    """Where a purge goes on is told by the minute it began in, which is another for each."""
    return Told((bool(reply.cursor), reply.jobs))

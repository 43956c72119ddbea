"""Operators on both sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from millstream.core import events as ev
from millstream.core.jobs import JobState
from millstream.core.operating import Mode, Purged
from millstream.core.operating import Standing as Told
from millstream.core.queue import Redrive
from tests.core.verbs.mill import ADA

from .due import Instant
from .gates import Bound, words
from .jobs import spec_of
from .log import says
from .operating import Ended, Standing
from .pair import Pair
from .stage import BY, Stage, mostly
from .world import MINUTE

ENDS = ("job.succeeded", "job.failed", "job.cancelled")


class Operators(Stage):
    """`purges` are all that were begun: states, cursor of the server and of the model."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.purges: list[tuple[frozenset[JobState], str, int]] = []

    def ends(self, picks: Sequence[int], behind: int) -> list[Ended]:
        """Ends of jobs, mostly of those that are over; `behind`: not the last ones."""
        made = self.model.jobs.specs
        known = {id: end for id in made if (end := self._end_of(id, behind))}
        over = [end for id, end in known.items() if id not in self.model.jobs.live]
        return [mostly(over, list(known.values()), pick) for pick in picks if known]

    def _end_of(self, id: str, behind: int) -> Ended | None:
        """An end of the job; an older one only while the server can know that it is."""
        ends = [one.version for one in self.model.log if one.job == id and one.type in ENDS]
        known = id in self.model.jobs.live or self.model.jobs.last_version(id, self.model.clock)
        if len(ends) <= behind or (behind and not known):
            return None
        body = self.model.jobs.specs[id]
        return Ended(id, spec_of(body).get("priority", 5), ends[-1 - behind], body)

    async def cancel(self, ids: Sequence[str]) -> None:
        await self.pair.call(
            lambda: self.world.queue.cancel(ids, ADA), lambda: self.model.cancel(ids, BY)
        )

    async def redrive(self, ends: Sequence[Ended]) -> None:
        reals = [Redrive(*end) for end in ends]
        await self.pair.call(
            lambda: self.world.queue.redrive(reals, ADA), lambda: self.model.redrive(ends, BY)
        )

    async def reschedule(self, ids: Sequence[str], minutes: int, *, named: bool) -> None:
        """So many minutes from now on, or at the time that is `named` just before the call."""
        at: Instant | int = minutes
        due: int | str = f"+{minutes * MINUTE}"
        if named:
            await self.world.begin(self.model.tick + 2)
            at = Instant(self.model.clock + minutes, self.model.tick + 1)
            due = self.world.times[at.tick][0] + minutes * MINUTE
        await self.pair.call(
            lambda: self.world.queue.reschedule(ids, due, ADA),
            lambda: self.model.reschedule(ids, at, BY),
        )

    async def set_mode(self, mode: Mode) -> None:
        await self.pair.call(
            lambda: self.world.queue.set_mode(mode, ADA), lambda: self.model.set_mode(mode, BY)
        )

    async def inspect(self) -> None:
        told: list[Told] = []

        def standing(reply: Told) -> Standing:
            told.append(reply)
            oldest = self.model.inspect().oldest  # its time is compared below
            return Standing(*reply[1:6], oldest=oldest if reply.oldest else None)

        expected = await self.pair.call(self.world.queue.inspect, self.model.inspect, standing)
        self.pair.check_ms(told[0].now, self.model.now)
        self.check_next(told[0].next_due, self.model.next_due())
        if expected.oldest is not None:
            # Ready entries keep the time they came at, however much time a test lets pass.
            self.pair.check_ms(told[0].oldest, Instant(self.model.clock, expected.oldest))

    async def purge(self, states: Collection[JobState], limit: int, pick: int) -> None:
        """Begin a purge; or, mostly if there are any, go on with one that began before."""
        wanted, cursor, tick = frozenset(states), "", None
        if self.purges and pick % 4:
            wanted, cursor, tick = self.purges[pick // 4 % len(self.purges)]
        after: list[Purged] = []

        def known(reply: Purged) -> tuple[int | None, int]:
            after.append(reply)
            began = self.model.tick if tick is None else tick
            return (began if reply.cursor else None), reply.jobs

        reply = await self.pair.call(
            lambda: self.world.queue.purge(ADA, cursor, wanted, limit),
            lambda: self.model.purge(wanted, tick, limit, BY),
            known,
        )
        if reply[0] is not None:
            self.pair.check_ms(int(after[0].cursor[6:]), Instant(self.model.clock, reply[0]))
            self.purges.append((wanted, after[0].cursor, reply[0]))

    async def configure(self, bounds: Mapping[str, Bound]) -> None:
        told = {field: "" if bound is None else words(bound) for field, bound in bounds.items()}
        by = ev.QueueConfigured("ada", "test", dict(told))
        await self.pair.call(
            lambda: self.world.queue.configure(by, told),
            lambda: self.model.configure(bounds, says(ev.body_of(by))),
            any_order=True,
        )

"""One command to both, the memory and the server; they must agree on all of it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from millstream.core.errors import MillstreamError
from millstream.core.events import Record
from millstream.core.memory import Clock, MemoryQueue
from millstream.core.memory.links import Notice
from millstream.core.queue import PartitionQueue

from .state import of_memory
from .world import MINUTE, PARTITION, Sight, World

START = 500_000 * MINUTE
SPECS = ("job.submitted", "job.replaced")
TIMED = {
    "job.rescheduled": "run_at",
    "job.redriven": "run_at",
    "job.joined": "run_at",
    "schedule.fired": "occurrence",
    "schedule.skipped": "occurrence",
}
"""Events that tell a time, and where."""

T = TypeVar("T")


class Told(NamedTuple):
    """A reply: what must be the same of both, and the times in it."""

    said: Any
    times: Sequence[int] = ()


class Both(NamedTuple):
    """The replies of both."""

    real: Any
    memory: Any


def says(body: bytes) -> dict[str, Any]:
    """What a body says, apart from how it is written."""
    return msgspec.json.decode(body)


class Pair:
    """A partition in memory and one on a server, in step.

    specs  the last spec of every job there ever was, as an archive has it
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = Clock(START)
        self.memory = MemoryQueue(PARTITION, self.clock)
        self.rooms = self.memory.rooms
        self.ids: list[str] = []
        self.specs: dict[str, bytes] = {}
        self._seen = 0

    async def call(
        self,
        do: Callable[[PartitionQueue], Awaitable[Any]],
        in_memory: Callable[[PartitionQueue], Awaitable[Any]] | None = None,
        *,
        told: Callable[[Any], Told] = Told,
        any_order: bool = False,
    ) -> Both | None:
        """Do it; both replies, or None if both refused it for the same reason.

        `in_memory`: the same command in the times of the memory. `any_order`: crowded gates may
        be looked at in any order, so one must be found in which the server could have done it.
        """
        await self.begin()
        got = await _answer(do, self.world.queue)
        sight = await self._look()
        orders = list(itertools.permutations(self.rooms.gates.crowded())) if any_order else [()]
        before = self._kept() if len(orders) > 1 else {}
        for order in orders[:-1]:
            self.rooms.sweep = list(order)
            try:
                return await self._follow(got, in_memory or do, told, sight)
            except AssertionError:
                self.rooms.__dict__.update(copy.deepcopy(before))
        self.rooms.sweep = list(orders[-1])
        return await self._follow(got, in_memory or do, told, sight)

    def _kept(self) -> dict[str, Any]:
        """All there is of the memory but its clock, which the log knows too."""
        memo = {id(self.clock): self.clock}
        return copy.deepcopy(
            {name: room for name, room in self.rooms.__dict__.items() if name != "clock"}, memo
        )

    async def _follow(
        self,
        got: Any,
        do: Callable[[PartitionQueue], Awaitable[Any]],
        told: Callable[[Any], Told],
        sight: Sight,
    ) -> Both | None:
        wanted = await _answer(do, self.memory)
        news = [(one.type, one.job, one.body) for one in sight.news]
        if isinstance(wanted, type) or isinstance(got, type):
            assert got == wanted, f"reply: expected {wanted}, got {got} with {news}"
            self._compare(sight)
            return None
        (said, times), (wanted_said, wanted_times) = told(got), told(wanted)
        assert said == wanted_said, f"reply: expected {wanted_said}, got {said} with {news}"
        self._compare(sight)
        for ms, at in zip(times, wanted_times, strict=True):
            self.check_time(ms, at)
        return Both(got, wanted)

    async def begin(self) -> None:
        """Another call comes."""
        self.clock.step(self.world.gap)
        await self.world.begin(self.clock.now)

    async def before_the_next(self) -> Both:
        """An instant just before the next call, by both clocks: clients name their times then."""
        at = self.clock.now + self.world.gap
        await self.world.begin(at)
        return Both(self.world.ms(at - 1, self.clock.now)[0], at - 1)

    async def step(self, minutes: int) -> None:
        """Let time pass."""
        await self.world.step(minutes)
        self.clock.step(minutes * MINUTE)
        await self.compare()

    async def compare(self) -> None:
        """The same facts since the last comparison, and the same state now."""
        self._compare(await self._look())

    async def _look(self) -> Sight:
        return await self.world.look(self.clock.now, self.ids)

    def _compare(self, sight: Sight) -> None:
        expected = self.rooms.log[self._seen :]
        for one, wanted in zip(sight.news, expected, strict=False):
            self._check_times(one, wanted)
        facts, wanted = _facts(sight.news), _facts(expected)
        assert facts == wanted, f"events: expected {wanted}, got {facts}"
        state = of_memory(self.rooms)
        assert sight.state == state, f"state: expected {state}, got {sight.state}"
        for job, ms in sight.due.items():
            self.check_time(ms, self.rooms.due.at[job])
        for gate, ms in sight.timers.items():
            self.check_time(ms, self.rooms.gates.timers[gate])
        assert sight.plans.keys() == self.rooms.planned.keys()
        for name, ms in sight.plans.items():
            self.check_time(ms, self.rooms.planned[name])
        for job, ms in sight.seen.items():
            self.check_time(ms, self.rooms.links.seen[job])
        for job, ms in sight.holds.items():
            self.check_time(ms, int(self.rooms.jobs.live[job].hold))
        self._take_over(sight.outbox)
        self.specs.update({one.job: one.body for one in expected if one.type in SPECS})
        self._seen = self.rooms.log.seq

    def _take_over(self, outbox: Sequence[Notice]) -> None:
        """The same is to be told by both: let the memory put it together as the server did."""
        given = {one.entry: one.given for one in self.rooms.links.outbox}
        self.rooms.links.outbox = [
            Notice(one.entry, one.ended, one.dependents, given.get(one.entry)) for one in outbox
        ]

    def _check_times(self, one: Record, wanted: Record) -> None:
        if field := TIMED.get(wanted.type):
            self.check_time(says(one.body).get(field, 0), says(wanted.body).get(field, 0))

    def check_time(self, ms: int, at: int) -> None:
        """That instant of the memory, and none else (0: never); a rate's is rounded up."""
        if at == 0:
            assert ms == 0, f"time: expected none, got {ms}"
            return
        first, last = self.world.ms(at, self.clock.now)
        assert first <= ms <= last + 1, f"time: expected {at}, from {first} to {last}, got {ms}"


async def _answer(do: Callable[[PartitionQueue], Awaitable[Any]], queue: PartitionQueue) -> Any:
    try:
        return await do(queue)
    except MillstreamError as error:
        return type(error)


def _facts(records: Sequence[Record]) -> list[tuple[int, str, str, int, dict[str, Any]]]:
    facts: list[tuple[int, str, str, int, dict[str, Any]]] = []
    for one in records:
        body = says(one.body)
        if one.type in TIMED:
            body.pop(TIMED[one.type], None)
            body.pop("last", None)
        facts.append((one.seq, one.type, one.job, one.version, body))
    return facts

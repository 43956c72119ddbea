"""One command to both, the model and the server; they must agree on all of it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from millstream.core.errors import MillstreamError

from .due import Instant
from .log import Fact, says
from .state import of_model
from .verbs import Model
from .world import Sight, World


class Pair:
    """A model and its world, in step."""

    def __init__(self, model: Model, world: World) -> None:
        self.model = model
        self.world = world
        self.ids: list[str] = []
        self._seen = 0

    async def call(
        self,
        real: Callable[[], Awaitable[Any]],
        model: Callable[[], Any],
        reply: Callable[[Any], Any] = lambda reply: reply,
        *,
        any_order: bool = False,
    ) -> Any:
        """Do it; the model's reply, or None if both refused it for the same reason.

        `reply` gives of the server's reply what the model gives. `any_order`: crowded gates may be
        looked at in any order, so one must be found in which the server could have done it.
        """
        await self.begin()
        try:
            got: Any = reply(await real())
        except MillstreamError as error:
            got = type(error)
        sight = await self._look()
        orders = list(itertools.permutations(self.model.gates.crowded())) if any_order else [()]
        before = copy.deepcopy(self.model.__dict__) if len(orders) > 1 else {}
        for order in orders[:-1]:
            self.model.sweep = list(order)
            try:
                return self._follow(got, model, sight)
            except AssertionError:
                self.model.__dict__ = copy.deepcopy(before)
        self.model.sweep = list(orders[-1])
        return self._follow(got, model, sight)

    def _follow(self, got: Any, model: Callable[[], Any], sight: Sight) -> Any:
        try:
            wanted: Any = model()
        except MillstreamError as error:
            wanted = type(error)
        news = [(one.type, one.job, one.body) for one in sight.news]
        assert got == wanted, f"reply: expected {wanted}, got {got} with {news}"
        self._compare(sight)
        return None if isinstance(wanted, type) else wanted

    async def begin(self) -> None:
        self.model.begin()
        await self.world.begin(self.model.tick)

    async def compare(self) -> None:
        """The same facts since the last comparison, and the same state now."""
        self._compare(await self._look())

    async def _look(self) -> Sight:
        return await self.world.look(self.model.tick, self.ids)

    def _compare(self, sight: Sight) -> None:
        facts = [Fact(one.type, one.job, one.version, says(one.body)) for one in sight.news]
        expected = self.model.log[self._seen :]
        for fact, wanted in zip(facts, expected, strict=False):
            at = wanted.body.get("run_at")
            if isinstance(at, Instant):
                self.check_ms(fact.body.get("run_at", 0), at)
                wanted.body["run_at"] = fact.body["run_at"]
        assert facts == expected, f"events: expected {expected}, got {facts}"
        seqs = [one.seq for one in sight.news]
        assert seqs == list(range(self._seen + 1, self.model.log.seq + 1)), f"seqs: got {seqs}"
        wanted = of_model(self.model)
        assert sight.state == wanted, f"state: expected {wanted}, got {sight.state}"
        for job, ms in sight.due.items():
            self.check_ms(ms, self.model.due.at[job])
        for gate, ms in sight.timers.items():
            self.check_ms(ms, self.model.gates.timers[gate])
        self._seen = self.model.log.seq

    def check_ms(self, ms: int, at: Any) -> None:
        """That instant, and none else; a rate's is rounded up."""
        first, last = self.world.ms(at, self.model.clock)
        assert first <= ms <= last + 1, f"time: expected {at}, from {first} to {last}, got {ms}"

"""One command to both, the model and the server; they must agree on all of it."""

from __future__ import annotations

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
    ) -> Any:
        """Do it; the model's reply, or None if both refused it for the same reason.

        `reply` gives of the server's reply what the model gives.
        """
        await self.begin()
        try:
            got: Any = reply(await real())
        except MillstreamError as error:
            got = type(error)
        sight = await self._look()
        self.model.seen = [one.job for one in sight.news]
        try:
            wanted: Any = model()
        except MillstreamError as error:
            wanted = type(error)
        assert got == wanted, f"reply: expected {wanted}, got {got}"
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
        expected = [self._fact(fact) for fact in self.model.log[self._seen :]]
        facts = [Fact(one.type, one.job, one.version, says(one.body)) for one in sight.news]
        for wanted, got in zip(expected, facts, strict=False):
            if isinstance(at := wanted.body.get("run_at"), Instant):
                self.check_ms(got.body["run_at"], at)
                wanted.body["run_at"] = got.body["run_at"]
        assert facts == expected, f"events: expected {expected}, got {facts}"
        seqs = [one.seq for one in sight.news]
        assert seqs == list(range(self._seen + 1, self.model.log.seq + 1)), f"seqs: got {seqs}"
        self._seen = self.model.log.seq
        state = of_model(self.model)
        assert sight.state == state, f"state: expected {state}, got {sight.state}"
        for job, ms in sight.due.items():
            self.check_ms(ms, self.model.due.at[job])

    @staticmethod
    def _fact(fact: Fact) -> Fact:
        """A copy whose body may be changed."""
        return fact._replace(body=dict(fact.body))

    def check_ms(self, ms: int, at: Any) -> None:
        """That instant, and none else."""
        first, last = self.world.ms(at, self.model.clock)
        assert first <= ms <= last, f"time: expected {at}, from {first} to {last}, got {ms}"

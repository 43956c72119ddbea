"""Parts of a worker that tell more than a worker asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...core.config import Settings
from ...core.events import JobCheckpointed
from ...core.queue import Directory, PartitionQueue
from ...core.stepping import Kept
from ..attempts import Attempt
from ..durable import Durable
from ..errors import LeaseLost
from ..handlers import Registry
from ..recorder import Recorder, Told
from ..slots import Slots


class Timed(Attempt, eq=False, kw_only=True):
    """An attempt whose time is that of the sandbox. `began`: ms since 1970."""

    clock: Callable[[], float]
    began: float

    def now(self) -> float:
        """The time of the sandbox."""
        return self.clock()


class QuietSlots(Slots):
    """Tells when nothing runs and every verdict was taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.quiet = asyncio.Event()
        self.quiet.set()

    def take(self, attempts: list[Attempt]) -> None:
        """As `Slots.take`."""
        super().take(attempts)
        if attempts:
            self.quiet.clear()

    def give_back(self) -> None:
        """As `Slots.give_back`."""
        super().give_back()
        self._listen()

    def settle(self, attempts: list[Attempt]) -> None:
        """As `Slots.settle`."""
        super().settle(attempts)
        self._listen()

    def _listen(self) -> None:
        if not self.held and self.taken == 0:
            self.quiet.set()


class _Witness(Recorder):
    """A recorder that tells of each step once it is kept."""

    def __init__(
        self, queue: PartitionQueue, told: Told, kept: Callable[[Attempt, str], bool]
    ) -> None:
        super().__init__(queue, told)
        self._kept = kept

    async def keep(self, attempt: Attempt, event: JobCheckpointed) -> Kept:
        """As `Recorder.keep`; the worker may die of it."""
        reply = await super().keep(attempt, event)
        if reply > 0 and self._kept(attempt, event.step):
            await asyncio.sleep(0)  # an async handler ends here
            raise LeaseLost(attempt.lease.id, f"step {event.step!r}")
        return reply


class Lent(Durable):
    """What a worker lends to steps; `kept` is told of each that is kept."""

    def __init__(
        self,
        directory: Directory,
        registry: Registry,
        settings: Settings,
        told: Told,
        kept: Callable[[Attempt, str], bool],
    ) -> None:
        super().__init__(directory, registry, settings, told)
        self._kept = kept

    def recorder(self, partition: str) -> Recorder:
        found = self._recorders.get(partition)
        if found is None:
            queue = self._directory.queue(partition)
            found = self._recorders[partition] = _Witness(queue, self._told, self._kept)
        return found

"""How many jobs a worker may hold, and waiting until it is worth fetching more."""

import asyncio

from .attempts import Attempt

LINGER = 0.005
"""Seconds a fetch waits for more free slots while a backlog is known: a claim of a few jobs costs
the server nearly as much as one of hundreds, and slow jobs must not keep the others waiting."""


class Slots:
    """The attempts in hand (claimed, verdict not accepted yet), and the slots they take.

    A slot is free again when the handler has ended; the verdict may still be on its way, but only
    for as many again: a server that takes no verdicts gives no jobs.

    held    the attempts in hand
    asked   partitions whose claim has no reply yet, and since when (`time.monotonic`): it may have
            given jobs that are not known here
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: set[Attempt] = set()
        self.asked: dict[str, float] = {}
        self.taken = 0
        self._most_held = limit + max(limit, 100)
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0

    @property
    def free(self) -> int:
        """How many more jobs may be claimed now."""
        return min(self.limit - self.taken, self._most_held - len(self.held))

    def take(self, attempts: list[Attempt]) -> None:
        """Attempts were claimed."""
        self.held.update(attempts)
        self.taken += len(attempts)

    def give_back(self) -> None:
        """A handler has ended."""
        self.taken -= 1
        if self._waiter is not None:
            self.notice()

    def settle(self, attempts: list[Attempt]) -> None:
        """The log has answered the verdicts of attempts, or they are given up."""
        self.held.difference_update(attempts)
        if self._waiter is not None:
            self.notice()

    def notice(self) -> None:
        """Let the waiting fetch go on if it can."""
        if self._waiter is not None and not self._waiter.done() and self.free >= self._wanted:
            self._waiter.set_result(None)

    def wake(self) -> None:
        """Let the waiting fetch go on whatever is free."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, wanted: int) -> None:
        """Wait until `wanted` slots are free; a little later one is enough."""
        if self.free >= wanted:
            return
        loop = asyncio.get_running_loop()
        self._wanted = wanted
        self._waiter = loop.create_future()
        linger = loop.call_later(LINGER, self._content)
        try:
            await self._waiter
        finally:
            linger.cancel()
            self._waiter = None

    def _content(self) -> None:
        self._wanted = 1
        self.notice()

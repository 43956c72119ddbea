"""Hearing of new work without asking: a blocking read on the bells of all queues served."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from ..core.connection import call, translated
from ..core.errors import MillstreamError
from ..core.keys import Keys

_log = structlog.stdlib.get_logger("millstream.worker")

BLOCK = 5
"""Seconds one read waits."""

PAUSE = 0.5
"""Seconds after a failed read."""


class Bells:
    """Listens while `wanted`; a read under way stays so when the worker is idle no more.

    `rung` is called with the partition whose token was taken: it claims, or hands the token on.
    `client` is for blocking reads, and for this one alone.
    """

    def __init__(self, client: Any, keys: Keys, rung: Callable[[str], None]) -> None:
        self._client = client
        self._keys = keys
        self._rung = rung
        self._partitions: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self.listening = False

    def add(self, partition: str) -> None:
        """Listen to one more, from the next read on."""
        self._partitions[self._keys.bell(partition)] = partition

    def want(self, wanted: bool) -> None:
        """Say whether a token would be of use now: one taken in vain wakes nobody."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def run(self) -> None:
        """Listen for ever. When cancelled in a read, a token may be lost: `listening` tells."""
        while True:
            await self._wanted.wait()
            try:
                await self._listen()
            except MillstreamError as error:
                _log.debug("bells cannot be heard", error=str(error))
                await self._client.connection_pool.disconnect()
                # A token may have been lost with the reply, so all are worth a look.
                for partition in self._partitions.values():
                    self._rung(partition)
                await asyncio.sleep(PAUSE)

    async def _listen(self) -> None:
        self.listening = True
        with translated():
            reply = await call(self._client, "BLPOP", *self._partitions, BLOCK)
        self.listening = False
        if reply:
            self._rung(self._partitions[reply[0].decode()])
        # A worker that was woken goes round once before it knows whether it wants more.
        await asyncio.sleep(0)

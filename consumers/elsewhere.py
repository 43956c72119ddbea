"""Whether other workers run job types that this one does not know: as during a deployment."""

import asyncio
from collections.abc import Callable, Collection

import structlog

from ..core.errors import Unavailable
from ..core.workers import Workers

_log = structlog.stdlib.get_logger("millstream.worker")

FRESH = 2.0
"""Seconds for which what was read is good enough."""


class Elsewhere:
    """Of one worker. Reads the reports of the others only while somebody asks."""

    def __init__(self, workers: Workers, name: str, queues: Callable[[], Collection[str]]) -> None:
        self._workers = workers
        self._name = name
        self._queues = queues
        self._types: frozenset[str] | None = None
        self._asked = asyncio.Event()

    def knows(self, type: str) -> bool | None:
        """Whether another worker of one of these queues has a handler; None: not known yet."""
        self._asked.set()
        return None if self._types is None else type in self._types

    async def run(self) -> None:
        """Read what is asked for, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                self._types = await self._read()
            except Unavailable as error:
                self._types = None
                _log.debug("reports cannot be read", error=str(error))
            await asyncio.sleep(FRESH)
            if not self._asked.is_set():
                self._types = None  # by the time somebody asks again it may be otherwise

    async def _read(self) -> frozenset[str]:
        mine = set(self._queues())
        found = [one for one in await self._workers.all() if one.report.name != self._name]
        return frozenset(
            type
            for one in found
            if one.condition == "serving" and not mine.isdisjoint(one.report.queues)
            for type in one.report.types
        )

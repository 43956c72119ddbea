"""Notices workers that are gone without a word, and says so in the logs of their queues.

Every worker looks; the verb makes it the same as if one did. A worker is lost when it did not
report at several looks in a row: while Redis is away, or while this worker is stopped, there are no
looks, so nobody is taken for lost who only could not be heard.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection

import structlog

from ..core.errors import LogLost, Unavailable
from ..core.events import WorkerStarted
from ..core.queue import Directory
from ..core.workers import Workers

_log = structlog.stdlib.get_logger("millstream.worker")

LOOK_EVERY = 10.0
"""Seconds between two looks of a worker, if there are not very many workers or queues."""

LOOKS = 3
"""Looks in a row at which a lost worker was silent."""

MOST_LOOKED_AT = 20
"""Workers and queues a worker looks at in a second."""


class Lookout:
    """Of one worker, over its queues; `started` is its own announcement."""

    def __init__(
        self,
        workers: Workers,
        directory: Directory,
        queues: Callable[[], Collection[str]],
        started: WorkerStarted,
    ) -> None:
        self._workers = workers
        self._directory = directory
        self._queues = queues
        self._started = started
        self._absent: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever, whatever happens."""
        pause = LOOK_EVERY
        while True:
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            try:
                seen = await self.look()
            except Exception as error:
                self._absent.clear()
                _log.warning("cannot look after other workers", error=str(error))
            else:
                pause = max(LOOK_EVERY, seen / MOST_LOOKED_AT)

    async def look(self) -> int:
        """Look once; how many workers and queues were looked at. Raises Unavailable."""
        present = await self._workers.present()
        if self._started.worker not in present:
            raise Unavailable("this worker cannot be heard itself")
        queues = list(self._queues())
        absent = {name: await self._absent_from(name, present) for name in queues}
        counts = {name: self._absent.get(name, 0) + 1 for name in set().union(*absent.values())}
        self._absent = counts
        for queue, names in absent.items():
            lost = sorted(name for name in names if counts[name] >= LOOKS)
            if lost:
                await _unless_halted(queue, self._lose(queue, lost))
        return len(present) + len(queues)

    async def back(self) -> None:
        """This worker reports again after a silence: come again to queues that lost it."""
        for queue in list(self._queues()):
            verbs = self._directory.queue(queue)
            if self._started.worker not in await verbs.serving():
                _log.warning("this worker was taken for lost and is back", queue=queue)
                await _unless_halted(queue, verbs.announce(self._started))

    async def _absent_from(self, queue: str, present: set[str]) -> set[str]:
        return await self._directory.queue(queue).serving() - present

    async def _lose(self, queue: str, names: list[str]) -> None:
        said = await self._directory.queue(queue).lose(names)
        for name, first in zip(names, said, strict=True):
            if first:
                _log.warning("a worker is lost", queue=queue, worker=name)


async def _unless_halted(queue: str, saying: Awaitable[None]) -> None:
    """Say it; a queue that is halted takes no word, and must not keep the others from theirs."""
    try:
        await saying
    except LogLost as error:
        _log.debug("nothing can be said of workers", queue=queue, error=str(error))

"""What the API does for jobs that wait for others, beside the workers: it has the tables.

It tells of ends where no worker serves the queue, such as of a job just cancelled; and it looks
after jobs that have waited for long, whose parents may have been lost with a server.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import structlog
from litestar import Litestar

from ..core.errors import MillstreamError
from ..core.linking import Outcome, Overdue
from .parents import Wish, resolve
from .problems import Problem
from .resources import Resources

_log = structlog.get_logger("millstream.linker")

SWEEP = 2.0
"""Seconds between two looks at the queues whose jobs wait for others, or are waited for."""

LONG_MS = 300_000
"""After so long it is looked into what a job waits for, again and again."""

LOOK_MS = 10_000
"""After so long those are looked at again whose look came to no end, such as without PostgreSQL."""

JOBS, PARENTS = 200, 50
"""Of so many jobs in one look, and of so many parents of each, any of them."""


class Linker:
    """Runs while the API does."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._joiner = resources.joiner

    async def run(self) -> None:
        """Until it is cancelled, whatever happens."""
        while True:
            await asyncio.sleep(SWEEP * random.uniform(0.5, 1))
            await self.sweep()

    async def sweep(self) -> None:
        """Look once at all queues that have to do with such jobs."""
        try:
            partitions = await self._resources.directory.linked()
        except MillstreamError as error:
            _log.debug("jobs that wait for others cannot be looked at", error=str(error))
            return
        for partition in partitions:
            try:
                await self._look(partition)
            except (MillstreamError, Problem) as error:
                _log.warning("jobs that wait for others cannot be looked after", queue=partition,
                             error=str(error))  # fmt: skip
            except Exception as error:
                _log.error("jobs that wait for others cannot be looked after", queue=partition,
                           exc_info=error)  # fmt: skip

    async def _look(self, partition: str) -> None:
        queue = self._resources.directory.queue(partition)
        await self._joiner.sweep(queue)
        seen: list[str] = []
        while found := await queue.overdue(LONG_MS, JOBS, PARENTS, look_ms=LOOK_MS, seen=seen):
            await self._mend(partition, found)
            seen = [one.job for one in found]

    async def _mend(self, partition: str, found: Sequence[Overdue]) -> None:
        """Have the parents of these note again who waits for them, or tell how they ended."""
        wishes = [
            Wish(one.job, parent, one.policy == "wait", "")
            for one in found
            for parent in one.parents
        ]
        ended = await resolve(self._resources, wishes, missing=True)
        news: dict[str, list[tuple[str, Outcome]]] = {}
        for wish in wishes:
            if wish.parent in ended:
                news.setdefault(wish.dependent, []).append((wish.parent, ended[wish.parent]))
        if news and (await self._resources.directory.queue(partition).join(news)).more:
            self._joiner.wake(partition)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    """Runs a linker, and the joiner it shares with requests, while the app serves."""
    resources: Resources = app.state.resources
    tasks = [
        asyncio.create_task(resources.joiner.run()),
        asyncio.create_task(Linker(resources).run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""What is done for jobs that wait for others, beside the workers, where the tables can be asked.

It tells of ends where no worker serves the queue, such as of a job just cancelled; and it looks
after jobs that have waited for long, whose parents may have been lost with a server, and after
those whose parents had ended when a handler submitted them. The API does it, and the projector.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import structlog

from ..core.config import Settings
from ..core.errors import MillstreamError, TablesUnavailable
from ..core.joining import Joiner
from ..core.linking import Outcome, Overdue, Watched
from ..core.log import LogReader
from ..core.queue import Directory
from . import queries
from .connection import close_pool
from .parents import Wish, resolve

_log = structlog.get_logger("millstream.linker")

SWEEP = 2.0
"""Seconds between two looks at the queues whose jobs wait for others, or are waited for."""

LONG_MS = 300_000
"""After so long it is looked into what a job waits for, again and again."""

LOOK_MS = 10_000
"""After so long those are looked at again whose look came to no end, such as without PostgreSQL."""

JOBS, PARENTS = 200, 50
"""Of so many jobs in one look, and of so many parents of each, any of them."""

CATCH_UP = 10.0
"""Seconds the tables have to catch up; if they do not, it is tried again with the next sweep."""

LOOK = 0.2
"""Seconds between two looks whether they have."""


class Linker:
    """Runs beside others of its kind; `joiner` must be run, too."""

    def __init__(self, directory: Directory, joiner: Joiner, logs: LogReader, pool: Any) -> None:
        self._directory = directory
        self._joiner = joiner
        self._sources = _Sources(directory, logs, pool)

    async def run(self) -> None:
        """Until it is cancelled, whatever happens."""
        while True:
            await asyncio.sleep(SWEEP * random.uniform(0.5, 1))
            await self.sweep()

    async def sweep(self) -> None:
        """Look once at all queues that have to do with such jobs."""
        try:
            partitions = await self._directory.linked()
        except MillstreamError as error:
            _log.debug("jobs that wait for others cannot be looked at", error=str(error))
            return
        except Exception as error:
            _log.error("jobs that wait for others cannot be looked at", exc_info=error)
            return
        for partition in partitions:
            try:
                await self._look(partition)
            except MillstreamError as error:
                _log.warning("jobs that wait for others cannot be looked after", queue=partition,
                             error=str(error))  # fmt: skip
            except Exception as error:
                _log.error("jobs that wait for others cannot be looked after", queue=partition,
                           exc_info=error)  # fmt: skip

    async def _look(self, partition: str) -> None:
        queue = self._directory.queue(partition)
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
        ended = await resolve(self._sources, wishes)
        news: dict[str, list[tuple[str, Outcome]]] = {}
        for wish in wishes:
            if wish.parent in ended:
                news.setdefault(wish.dependent, []).append((wish.parent, ended[wish.parent]))
        if news and (await self._directory.queue(partition).join(news)).more:
            self._joiner.wake(partition)


class _Sources:
    """As `parents` asks; errors are Unavailable and LogLost."""

    def __init__(self, directory: Directory, logs: LogReader, pool: Any) -> None:
        self.partitions = directory.partitions
        self.link = directory.link
        self._directory = directory
        self._logs = logs
        self._pool = pool

    async def watch(
        self, partition: str, pairs: Sequence[tuple[str, str]], ended: bool
    ) -> list[Watched]:
        return await self._directory.queue(partition).watch(pairs, ended=ended)

    async def ends(self, jobs: Sequence[str]) -> dict[str, Outcome | None]:
        return await queries.job_ends(self._pool, jobs)

    async def catch_up(self, partition: str) -> None:
        head = await self._logs.head(partition)
        give_up = time.monotonic() + CATCH_UP
        while head.seq:
            reached = (await queries.checkpoints(self._pool)).get(partition)
            if reached is not None and (reached.epoch, reached.seq) >= (head.epoch, head.seq):
                return
            if time.monotonic() > give_up:
                raise TablesUnavailable(
                    f"the tables are behind {partition}:{head.epoch}:{head.seq}"
                )
            await asyncio.sleep(LOOK)


async def keep_linking(settings: Settings, directory: Directory, logs: LogReader) -> None:
    """Look after them until it is cancelled, with a joiner and a pool of its own."""
    pool = await queries.connect(settings)
    joiner = Joiner(directory)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(joiner.run())
            tasks.create_task(Linker(directory, joiner, logs, pool).run())
    finally:
        await close_pool(pool)

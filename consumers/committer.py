"""Sends verdicts to the log, many in one call.

While one call is on its way the next batch gathers: so an idle worker commits at once and a busy
one in large batches, without a timer.
"""

import asyncio
import random
from collections import deque

import structlog

from ..core.errors import LogLost, Unavailable
from ..core.queue import CHEAP_BATCH, Finish, PartitionQueue
from .attempts import Attempt
from .slots import Slots
from .stats import Stats

_log = structlog.stdlib.get_logger("millstream.worker")

MOST_BYTES = 4 * 2**20
"""Size of the bodies in one call, unless a single one is larger."""

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0

Given = tuple[Attempt, Finish]


class Committer:
    """Commits the verdicts of one partition, in the order given."""

    def __init__(self, queue: PartitionQueue, slots: Slots, stats: Stats) -> None:
        self._queue = queue
        self._slots = slots
        self._stats = stats
        self._waiting: deque[Given] = deque()
        self._given = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, attempt: Attempt, finish: Finish) -> None:
        """Commit a verdict soon."""
        if not self._waiting:
            self._given.set()
            self._idle.clear()
        self._waiting.append((attempt, finish))

    async def flushed(self) -> None:
        """Return once nothing waits and nothing is on its way."""
        await self._idle.wait()

    def given(self) -> list[Given]:
        """The verdicts not answered yet, but those of a call on its way; from a thread, too."""
        return list(self._waiting)

    @property
    def waiting(self) -> int:
        """Verdicts not answered yet, but those of a call on its way."""
        return len(self._waiting)

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._given.wait()
            self._given.clear()
            while self._waiting:
                await self._commit(self._take())
            self._idle.set()

    def _take(self) -> list[Given]:
        batch: list[Given] = []
        size = 0
        while self._waiting and len(batch) < CHEAP_BATCH and size < MOST_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][1].body)
        return batch

    async def _commit(self, batch: list[Given]) -> None:
        """Send a batch until it is answered.

        However long that takes: who held the lease is compared by its fence, so a late verdict is
        either still good or refused, and to drop it would only waste the work.
        """
        pause, asked_before = FIRST_PAUSE, False
        while True:
            try:
                self._stats.finishes += 1
                replies = await self._queue.finish([finish for _, finish in batch])
            except (Unavailable, LogLost) as error:
                asked_before = True
                _log.warning("verdicts wait", queue=self._queue.partition, count=len(batch),
                             error=str(error))  # fmt: skip
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, LAST_PAUSE)
            except Exception as error:
                return await self._one_by_one(batch, error)
            else:
                return self._answered(batch, replies, asked_before)

    async def _one_by_one(self, batch: list[Given], error: Exception) -> None:
        """Keep one verdict that the server chokes on from holding up the others."""
        if len(batch) > 1:
            for given in batch:
                await self._commit([given])
            return
        _log.error("a verdict cannot be sent", job=batch[0][1].id, exc_info=error)
        self._stats.dropped += 1
        self._slots.settle([batch[0][0]])

    def _answered(self, batch: list[Given], replies: list[bool], asked_before: bool) -> None:
        self._slots.settle([attempt for attempt, _ in batch])
        accepted = sum(replies)
        self._stats.accepted += accepted
        if accepted == len(batch):
            return
        if asked_before:
            # The call before may have done it: then the job has gone on, and this says no.
            self._stats.unsure += len(batch) - accepted
            return
        self._stats.refused += len(batch) - accepted
        for (_, finish), reply in zip(batch, replies, strict=True):
            if not reply:
                _log.warning("verdict refused: the lease was lost", job=finish.id,
                             fence=finish.fence, verdict=finish.verdict)  # fmt: skip

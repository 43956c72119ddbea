"""Brings the ends of jobs to those that wait for them, across queues.

The outbox of a queue is a durable subscription: an entry stays until all whom it concerns were
told, whoever dies meanwhile, and may then be told twice, which changes nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

import structlog

from .errors import LogLost, MillstreamError, Unavailable
from .ids import code_of
from .keys import partition_code
from .linking import Ended, Outcome
from .queue import CHEAP_BATCH, Directory, PartitionQueue

_log = structlog.stdlib.get_logger("millstream.joiner")

BATCH = 1000
"""Entries of one read."""

LEFT_BEHIND_MS = 10_000
"""After so long an entry that was taken and not settled is given to somebody else."""

News = dict[str, list[tuple[str, Outcome]]]


class Joiner:
    """Tells dependents, wherever they live, how the jobs they wait for ended.

    `wake` what holds something; `run` does it soon. A sweep is the truth.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._waiting: set[str] = set()
        self._woken = asyncio.Event()
        self._codes: dict[int, list[str]] = {}

    def wake(self, partition: str) -> None:
        """Say that the outbox of a partition holds something."""
        self._waiting.add(partition)
        self._woken.set()

    async def run(self) -> None:
        """Deliver for ever what `wake` tells of."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                await self._tried(self._waiting.pop())

    async def sweep(self, queue: PartitionQueue) -> None:
        """Deliver what nobody told of, and what was left behind. Raises what the verbs raise."""
        if await queue.outbox():
            await self.deliver(queue.partition, LEFT_BEHIND_MS)

    async def deliver(self, partition: str, idle_ms: int = 0) -> None:
        """Empty the outbox of a partition, and those of others that fill by that.

        Raises what the verbs raise, once all others were told.
        """
        todo = [partition]
        while todo:
            name = todo.pop()
            queue = self._directory.queue(name)
            while ended := await queue.collect(BATCH, idle_ms if name == partition else 0):
                todo += await self._told(queue, ended)
                if len(ended) < BATCH and not _leave(ended):
                    break

    async def _tried(self, partition: str) -> None:
        try:
            await self.deliver(partition)
        except (Unavailable, LogLost) as error:
            _log.warning("jobs that wait for others cannot be told yet", queue=partition,
                         error=str(error))  # fmt: skip
        except Exception as error:
            _log.error("jobs that wait for others cannot be told", queue=partition,
                       exc_info=error)  # fmt: skip

    async def _told(self, queue: PartitionQueue, ended: list[Ended]) -> set[str]:
        """Tell all whom these entries concern, and settle them; the outboxes that filled by it."""
        failed: set[str] = set()
        filled: set[str] = set()
        failure: MillstreamError | None = None
        for partition, news in (await self._by_partition(ended)).items():
            for part in _parts(news):
                try:
                    if (await self._directory.queue(partition).join(part)).more:
                        filled.add(partition)
                except MillstreamError as error:
                    failed.update(part)
                    failure = error
        settled = [one.entry for one in ended if failed.isdisjoint(one.dependents)]
        if settled:
            await queue.settle(settled)
        for partition in filled:
            self.wake(partition)  # also if this breaks off
        if failure is not None:
            raise failure
        return filled

    async def _by_partition(self, ended: Iterable[Ended]) -> dict[str, News]:
        found: dict[str, News] = defaultdict(lambda: defaultdict(list))
        for one in ended:
            for job in one.dependents:
                for partition in await self._partitions_of(job):
                    found[partition][job] += one.jobs
        return found

    async def _partitions_of(self, job: str) -> list[str]:
        """The partitions a job can live in: they are made known before any parent of it is."""
        code = code_of(job)
        if code not in self._codes:
            codes: dict[int, list[str]] = {}
            for name in await self._directory.partitions():
                codes.setdefault(partition_code(name), []).append(name)
            self._codes = codes
        return self._codes.get(code, [])


def _leave(ended: Iterable[Ended]) -> bool:
    """Whether these tell that a job left others: `collect` names a part of them in each call."""
    return any(outcome == "left" for one in ended for _, outcome in one.jobs)


def _parts(news: News) -> Iterable[News]:
    """The news in calls of a size that is cheap, or of one job."""
    part: News = {}
    size = 0
    for job, parents in news.items():
        if part and size + len(parents) > CHEAP_BATCH * 8:
            yield part
            part, size = {}, 0
        part[job] = parents
        size += len(parents)
    if part:
        yield part

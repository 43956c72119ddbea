"""Sends to the log how far jobs have come: of each job the latest word, and not more than one a
second, however often its handler tells it. The words of all jobs share a call.

What a job tells is dropped when its verdict is given: the verdict says more.
"""

import asyncio
import math
import threading
from collections import defaultdict
from collections.abc import Callable
from contextvars import Context as Variables

import structlog

from ..core.errors import LogLost, Unavailable
from ..core.events import JobProgressed
from ..core.progressing import new_told
from ..core.queue import CHEAP_BATCH, PartitionQueue
from .attempts import Attempt
from .errors import ProgressError
from .recorder import Told

_log = structlog.stdlib.get_logger("millstream.worker")

EVERY = 1.0
"""Seconds between two words of one job."""

MAX_MESSAGE = 200
"""Most characters of what a handler says of its progress."""


def progress_of(done: float, total: float, message: str) -> JobProgressed:
    """The event of having done so much of a total. Raises ProgressError."""
    if not _is_number(total) or not total > 0:
        raise ProgressError("a total above 0", total)
    if not _is_number(done) or not 0 <= done <= total:
        raise ProgressError(f"a number from 0 to {total}", done)
    if not isinstance(message, str) or len(message) > MAX_MESSAGE or not message.isprintable():
        raise ProgressError(f"a message of at most {MAX_MESSAGE} printable characters", message)
    return JobProgressed(round(done / total, 4), message)


class ProgressTeller:
    """Tells the progress of a worker's jobs. A task runs only while there is something to tell.

    `told` is given the attempts whose lease is lost (0) or that are to be cancelled (2), in the
    words of the lease thread.
    """

    def __init__(self, queue: Callable[[str], PartitionQueue], told: Told) -> None:
        self._queue = queue
        self._told = told
        self._latest: dict[Attempt, JobProgressed] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._awake = False
        self._sender: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Note the loop to send from: this one."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def tell(self, attempt: Attempt, event: JobProgressed) -> None:
        """Tell this soon, unless there is a later word by then; from any thread."""
        self._latest[attempt] = event
        if self._awake or self._loop is None:
            return
        if threading.get_ident() == self._thread:
            self._begin()
        else:
            self._loop.call_soon_threadsafe(self._begin)

    async def stop(self) -> None:
        """Tell no more."""
        while self._sender is not None and not self._sender.done():
            self._sender.cancel()
            await asyncio.wait({self._sender}, timeout=0.1)

    def _begin(self) -> None:
        if not self._awake:
            self._awake = True
            # Variables of the handler that happens to be first are not for the others.
            task = self._run()
            loop = asyncio.get_running_loop()
            self._sender = loop.create_task(task, name="progress", context=Variables())

    async def _run(self) -> None:
        try:
            while self._latest:
                await self._send(self._take())
                await asyncio.sleep(EVERY)
        finally:
            self._awake = False
            if self._latest:  # told by a thread just now, while this seemed to be awake
                asyncio.get_running_loop().call_soon(self._begin)

    def _take(self) -> dict[str, dict[Attempt, JobProgressed]]:
        """What there is to tell, by partition. Threads may add to it meanwhile."""
        taken: dict[str, dict[Attempt, JobProgressed]] = defaultdict(dict)
        for _ in range(len(self._latest)):
            attempt, event = self._latest.popitem()
            if not attempt.settled:
                taken[attempt.lease.partition].setdefault(attempt, event)
        return taken

    async def _send(self, words: dict[str, dict[Attempt, JobProgressed]]) -> None:
        for partition, found in words.items():
            pairs = list(found.items())
            for first in range(0, len(pairs), CHEAP_BATCH):
                await self._call(partition, pairs[first : first + CHEAP_BATCH])

    async def _call(self, partition: str, pairs: list[tuple[Attempt, JobProgressed]]) -> None:
        reports = [new_told(one.lease.id, one.lease.fence, event) for one, event in pairs]
        try:
            replies = await self._queue(partition).progress(reports)
        except (Unavailable, LogLost) as error:
            _log.debug("progress must wait", queue=partition, error=str(error))
            for attempt, event in pairs:
                self._latest.setdefault(attempt, event)
            return
        except Exception as error:
            _log.error("progress cannot be told", queue=partition, exc_info=error)
            return
        news = [(one, reply) for (one, _), reply in zip(pairs, replies, strict=True)]
        self._told([(attempt, reply) for attempt, reply in news if reply != 1])


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)

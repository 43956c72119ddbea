"""Sends what steps gave to the log of one partition: those of a moment share one call.

Like the committer: while one call is on its way the next steps gather. A task runs only while
there is something to send.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context as Variables
from typing import NamedTuple

from ..core.events import JobCheckpointed
from ..core.queue import CHEAP_BATCH, PartitionQueue
from ..core.stepping import Checkpoint, Kept, new_checkpoint
from .attempts import Attempt
from .patience import patiently

MOST_BYTES = 4 * 2**20
"""Size of the bodies in one call, unless a single one is larger."""

LAST_WORD = 0.8
"""Seconds an interrupted handler waits for the answer: what is done should be known as done."""

Told = Callable[[list[tuple[Attempt, int]]], None]


class _Waiting(NamedTuple):
    attempt: Attempt
    step: Checkpoint
    answer: "asyncio.Future[Kept]"


class Recorder:
    """Keeps steps of one partition.

    `told` is given the attempts whose lease is lost (0) or that are to be cancelled (2), in the
    words of the lease thread.
    """

    def __init__(self, queue: PartitionQueue, told: Told) -> None:
        self._queue = queue
        self._told = told
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def keep(self, attempt: Attempt, event: JobCheckpointed) -> Kept:
        """Keep a step; answers however long it takes. Sent also if the caller is interrupted."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Kept] = loop.create_future()
        lease = attempt.lease
        step = new_checkpoint(lease.id, lease.fence, event)
        self._waiting.append(_Waiting(attempt, step, answer))
        if self._sender is None:
            # Variables of the handler that happens to be first are not for the others.
            self._sender = loop.create_task(self._run(), name="recorder", context=Variables())
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            await asyncio.wait({answer}, timeout=LAST_WORD)
            raise

    async def stop(self) -> None:
        """Send no more; who waits for an answer is refused."""
        while self._sender is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender}, timeout=0.1)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._send(self._take())
        finally:
            self._sender = None
            _refuse(self._waiting)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < CHEAP_BATCH and size < MOST_BYTES:
            one = self._waiting.popleft()
            if one.attempt.settled:  # its verdict was given: it has no say any more
                one.answer.set_result(0)
                continue
            batch.append(one)
            size += len(one.step.body)
        return batch

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        steps = [one.step for one in batch]
        try:
            replies = await patiently("steps", lambda: self._queue.checkpoint(steps))
        except asyncio.CancelledError:
            _refuse(batch)
            raise
        except Exception as error:
            if len(batch) > 1:  # keep one step that the server chokes on from the others
                for one in batch:
                    await self._send([one])
                return
            batch[0].answer.set_exception(error)
            batch[0].answer.exception()  # seen, also if nobody waits any more
            return
        for one, reply in zip(batch, replies, strict=True):
            one.answer.set_result(reply)
        news = [(one.attempt, reply) for one, reply in zip(batch, replies, strict=True)]
        self._told([(attempt, reply) for attempt, reply in news if reply in (0, 2)])


def _refuse(waiting: Iterable[_Waiting]) -> None:
    for one in waiting:
        if not one.answer.done():
            one.answer.set_result(0)

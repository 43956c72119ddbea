"""The way of jobs into Redis: submissions that come at the same time share one call of the verb.

While a call for a partition is under way, the next submissions gather; the first that finds none
under way goes at once, so nobody waits for a timer. A call whose outcome is unknown is sent again
under the same command id: the verb does it once.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from ..core.errors import IdTaken, MillstreamError, Unavailable
from ..core.events import body_of
from ..core.ids import new_ids
from ..core.queue import CHEAP_BATCH, MAX_BATCH, Directory, PartitionQueue
from ..core.submitting import NewJob
from .orders import Order, Place
from .problems import BUSY, Problem

T = TypeVar("T")

RETRY_FOR = 2.0
"""Seconds after the first failure in which a call is sent again."""

RETRY_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
CALL_BYTES = 4 * 2**20
"""Most bytes of specs in one call, unless one job alone is larger: Redis does nothing else then."""

WAITING_BYTES = 64 * 2**20
"""Most bytes of specs that may wait for a partition."""

KNOWN_FOR = 10.0
"""Seconds after which a partition is made known again: Redis may have lost what it knew."""

IN_FLIGHT = 2
"""Calls of one batch under way at a time: one is prepared while Redis does the other."""


class Chunk(NamedTuple):
    """A part of a batch: how many jobs, and their places or why they were not accepted."""

    size: int
    outcome: list[Place] | MillstreamError


class _Waiting(NamedTuple):
    order: Order
    body: bytes
    place: "asyncio.Future[Place]"


class Submitter:
    """Submits jobs of all partitions."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._rooms: dict[str, _Room] = {}
        self._known_until: dict[str, float] = {}
        self._linked_until: dict[str, float] = {}

    async def submit(self, partition: str, order: Order) -> Place:
        """Submit one job, together with others of this moment.

        Raises Unavailable, MemoryFull, LogLost, and Problem when too many wait.
        """
        room = self._rooms.get(partition)
        if room is None:
            room = self._rooms[partition] = _Room(self, partition)
        return await room.enter(order)

    async def submit_many(self, partition: str, orders: Sequence[Order]) -> list[Chunk]:
        """Submit jobs in chunks of `CHEAP_BATCH`, in order; none is sent after a failed one."""
        slots = asyncio.Semaphore(IN_FLIGHT)
        failure: MillstreamError | None = None

        async def send(part: Sequence[Order]) -> Chunk:
            nonlocal failure
            async with slots:
                if failure is not None:
                    return Chunk(len(part), failure)
                try:
                    bodies = [body_of(order.spec) for order in part]
                    return Chunk(len(part), await self.send(partition, part, bodies))
                except MillstreamError as error:
                    failure = failure or error
                    return Chunk(len(part), error)

        parts = [orders[i : i + CHEAP_BATCH] for i in range(0, len(orders), CHEAP_BATCH)]
        return await asyncio.gather(*map(send, parts))

    async def send(
        self, partition: str, orders: Sequence[Order], bodies: Sequence[bytes]
    ) -> list[Place]:
        """Submit jobs in one call of the verb, at most `MAX_BATCH` of them."""
        await self.know(partition)
        queue = self._directory.queue(partition)
        try:
            return await self._send(queue, orders, bodies)
        except IdTaken:
            return await self._send(queue, orders, bodies)  # with new ids; it was bad luck

    async def know(self, partition: str) -> None:
        """Make a partition known to all, if it was not a moment ago."""
        if time.monotonic() > self._known_until.get(partition, 0.0):
            await insist(lambda: self._directory.register(partition))
            self._known_until[partition] = time.monotonic() + KNOWN_FOR

    async def link(self, partition: str) -> None:
        """The same, and that its jobs wait for others or are waited for."""
        await self.know(partition)
        if time.monotonic() > self._linked_until.get(partition, 0.0):
            await insist(lambda: self._directory.link(partition))
            self._linked_until[partition] = time.monotonic() + KNOWN_FOR

    async def _send(
        self, queue: PartitionQueue, orders: Sequence[Order], bodies: Sequence[bytes]
    ) -> list[Place]:
        ids = list(new_ids(queue.partition, len(orders)))
        jobs = [
            NewJob(given or id, spec, body, policy, once, ended, before)
            for id, (spec, policy, once, given, ended, before), body in zip(
                ids, orders, bodies, strict=True
            )
        ]
        command = uuid.uuid4().hex
        receipt = await insist(lambda: queue.submit(jobs, command))
        return [Place(*stand, command) for stand in receipt.stands([job.id for job in jobs])]


class _Room:
    """Where submissions to one partition gather while a call is under way."""

    def __init__(self, submitter: Submitter, partition: str) -> None:
        self._submitter = submitter
        self._partition = partition
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._sender: asyncio.Task[None] | None = None

    async def enter(self, order: Order) -> Place:
        body = body_of(order.spec)
        if self._bytes + len(body) > WAITING_BYTES:
            raise Problem(BUSY, f"Expected at most {WAITING_BYTES} bytes of jobs to wait.")
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(order, body, place))
        self._bytes += len(body)
        if self._sender is None:
            self._sender = asyncio.create_task(self._run())
        return await place

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._send(self._next())
        finally:
            self._sender = None

    def _next(self) -> list[_Waiting]:
        """The submissions of the next call, in the order they came."""
        waiting, size = self._waiting, 0
        taken: list[_Waiting] = []
        while waiting and len(taken) < MAX_BATCH:
            size += len(waiting[0].body)
            if taken and size > CALL_BYTES:
                break
            taken.append(waiting.popleft())
        self._bytes -= sum(len(one.body) for one in taken)
        return taken

    async def _send(self, taken: list[_Waiting]) -> None:
        orders = [one.order for one in taken]
        bodies = [one.body for one in taken]
        try:
            places = await self._submitter.send(self._partition, orders, bodies)
        except BaseException as error:
            for one in taken:
                if not one.place.done():
                    one.place.set_exception(_told(error))
            if not isinstance(error, Exception):
                raise
            return
        for one, place in zip(taken, places, strict=True):
            if not one.place.done():  # who asked may have given up
                one.place.set_result(place)


def _told(error: BaseException) -> BaseException:
    """The error as those who wait are told it."""
    if isinstance(error, asyncio.CancelledError):
        return Unavailable("the server shut down before the submission was answered")
    return error


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that may be made twice, again while its outcome is unknown."""
    pauses = iter(RETRY_PAUSES)
    give_up = 0.0
    while True:
        try:
            return await call()
        except Unavailable:
            give_up = give_up or time.monotonic() + RETRY_FOR
            pause = next(pauses, None)
            if pause is None or time.monotonic() + pause > give_up:
                raise
            await asyncio.sleep(pause)

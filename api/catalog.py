"""Which queue and defaults a job type has, and whether a queue knows it: as workers announced it.

What was read is used for about a second, so a worker that announces a type is believed soon, and a
submission usually asks Redis nothing. Before a type is refused, Redis is asked again.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import msgspec

from ..core.errors import InvalidName
from ..core.keys import check_queue
from ..core.queue import Directory
from ..core.retry import MAX_ATTEMPTS
from .submission import Defaults, Submission, Unacceptable
from .submitter import insist

FRESH = 1.0
"""Seconds for which what was read is believed."""

MEMO = 10_000
"""Most (type, queue) pairs remembered between two reads: clients choose the names."""

DEFAULT_QUEUE = "default"
DEFAULT_MAX_ATTEMPTS = 5


class Announcement(msgspec.Struct):
    """What workers say of a job type; whatever more they say is not for submissions."""

    queue: str | None = None
    max_attempts: int | None = None


class Catalog:
    """Job types as announced by workers, with a memory of about a second."""

    def __init__(self, directory: Directory, unknown: Literal["refuse", "accept"]) -> None:
        self._directory = directory
        self._accept_all = unknown == "accept"
        self._types: dict[str, Announcement] = {}
        self._of_queue: dict[str, tuple[float, set[str]]] = {}
        self._asking: dict[str, asyncio.Task[set[str]]] = {}
        self._memo: dict[tuple[str, str | None], Defaults] = {}
        self._until = 0.0
        self._reading: asyncio.Task[None] | None = None

    def remembered(self, given: Submission) -> Defaults | None:
        """The defaults of a job known a moment ago to be acceptable; None: `resolve` it."""
        if time.monotonic() > self._until:
            return None
        return self._memo.get((given.type, given.queue))

    async def resolve(self, given: Submission) -> Defaults:
        """The defaults of a job. Raises Unavailable, Unacceptable if no worker knows the type."""
        if time.monotonic() > self._until:
            await self._refresh()
        found = self._defaults(given)
        if not await self._known(given.type, found.queue):
            # A worker may have announced the type a moment ago, perhaps for another queue.
            await self._refresh()
            found = self._defaults(given)
            await self._ask(found.queue)
            if not await self._known(given.type, found.queue):
                message = f"no worker of queue {found.queue!r} ever announced {given.type!r}"
                raise Unacceptable("type", message, unknown_type=True)
        if len(self._memo) < MEMO:
            self._memo[given.type, given.queue] = found
        return found

    async def resolve_all(
        self, jobs: Sequence[Submission]
    ) -> dict[tuple[str, str | None], Defaults | Unacceptable]:
        """The same for many jobs, each pair of type and queue looked at once."""
        found: dict[tuple[str, str | None], Defaults | Unacceptable] = {}
        for job in jobs:
            pair = (job.type, job.queue)
            if pair not in found:
                try:
                    found[pair] = self.remembered(job) or await self.resolve(job)
                except Unacceptable as error:
                    found[pair] = error
        return found

    def _defaults(self, given: Submission) -> Defaults:
        announced = self._types.get(given.type)
        queue = given.queue or (announced and announced.queue) or DEFAULT_QUEUE
        attempts = (announced and announced.max_attempts) or DEFAULT_MAX_ATTEMPTS
        # Workers of earlier releases may announce more.
        return Defaults(queue, min(attempts, MAX_ATTEMPTS))

    async def _known(self, type: str, queue: str) -> bool:
        if self._accept_all:
            return True
        until, types = self._of_queue.get(queue, (0.0, set[str]()))
        if time.monotonic() > until:
            types = await self._ask_once(queue)
        return not types or type in types

    async def _ask_once(self, queue: str) -> set[str]:
        """The types of a queue, asked for once, however many want to know at the same time."""
        asking = self._asking.get(queue)
        if asking is None:
            asking = self._asking[queue] = asyncio.create_task(self._ask(queue))
            asking.add_done_callback(lambda _: self._asking.pop(queue))
        return await asyncio.shield(asking)

    async def _ask(self, queue: str) -> set[str]:
        types = await insist(lambda: self._directory.types_of(queue))
        self._of_queue[queue] = (time.monotonic() + FRESH, types)
        return types

    async def _refresh(self) -> None:
        """Read the types once, however many ask at the same time."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        announced = await insist(self._directory.types)
        self._types = {name: _read_announcement(text) for name, text in announced.items()}
        self._memo.clear()
        now = time.monotonic()
        self._of_queue = {name: kept for name, kept in self._of_queue.items() if kept[0] > now}
        self._until = now + FRESH


def _read_announcement(text: bytes) -> Announcement:
    """What was announced; nothing if another release wrote it in a form not known here."""
    try:
        found = msgspec.json.decode(text, type=Announcement)
        if found.queue is not None:
            check_queue(found.queue)
    except (msgspec.MsgspecError, InvalidName):
        return Announcement()
    return found

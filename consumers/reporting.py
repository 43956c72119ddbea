"""A worker's word on itself, every few seconds; and a warning when its event loop is held up."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

import structlog

from ..core.errors import LogLost, Unavailable
from ..core.shapes import digest_of
from ..core.workers import MOST_JOBS, REPORT_EVERY, SILENT_AFTER, Report, Workers
from .attempts import Attempt
from .leases import snapshot
from .memory import resident
from .slots import Slots
from .stats import Stats

_log = structlog.stdlib.get_logger("millstream.worker")

LATE = 1.0
"""Seconds of loop lag that are worth a warning: a handler blocks all others meanwhile."""

TICK = 0.25
"""Seconds between two looks at the loop's clock."""


class Reporter:
    """Reports on one worker until it is stopped; `leave` takes the report back.

    `takes`: the shapes of the payloads it takes. `back` is called when it could be heard of again
    after a silence, and at first.
    """

    def __init__(
        self,
        workers: Workers,
        name: str,
        slots: Slots,
        stats: Stats,
        queues: Callable[[], Collection[str]],
        types: Iterable[str],
        version: str,
        takes: bytes,
        back: Callable[[], Awaitable[None]],
    ) -> None:
        self._workers = workers
        self._slots = slots
        self._stats = stats
        self._back = back
        self._missed = True
        self._queues = queues
        self._told = Report(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=time.time_ns() // 1_000_000,
            queues=[],
            types=sorted(types),
            concurrency=slots.limit,
            version=version,
            takes=digest_of(takes),
        )
        self._takes = takes
        self._lag = 0.0
        self.draining = False

    async def run(self) -> None:
        """Report for ever, whatever happens."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                await self.report()
                await asyncio.sleep(REPORT_EVERY)

    async def report(self) -> None:
        """Report once; a server that cannot be reached hears it the next time."""
        told = self.now()
        self._lag = 0.0
        try:
            before = await self._workers.report(told, self._takes)
            self._missed = self._missed or before > SILENT_AFTER
            if self._missed:
                await self._back()
                self._missed = False
        except (Unavailable, LogLost) as error:
            self._lag = max(self._lag, told.loop_lag)
            _log.debug("no report could be made", error=str(error))
        except Exception as error:
            _log.error("no report could be made", exc_info=error)

    async def introduce(self) -> None:
        """Report for the first time, before there can be a job that only this worker takes.

        Raises Unavailable.
        """
        await self._workers.report(self.now(), self._takes)

    async def leave(self) -> None:
        """Take the report back. Raises Unavailable."""
        await self._workers.leave(self._told.name)

    async def _watch(self) -> None:
        """Note for ever by how much the loop is late at worst; warn of what is worth it."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            late = time.monotonic() - before - TICK
            self._lag = max(self._lag, late)
            if late > LATE:
                running = sorted({_type_of(attempt) for attempt in self._slots.held})
                _log.warning("the event loop was held up: a handler blocks it",
                             seconds=round(late, 3), running=running[:10])  # fmt: skip

    def now(self, blocked: float = 0.0) -> Report:
        """What there is to say, also from a thread while the loop is `blocked` (seconds)."""
        told, held = self._told, snapshot(self._slots.held)
        idle = time.monotonic() - self._stats.progress if self._slots.free > 0 else 0.0
        return Report(
            name=told.name,
            host=told.host,
            pid=told.pid,
            started_at=told.started_at,
            queues=sorted(self._queues()),
            types=told.types,
            concurrency=told.concurrency,
            version=told.version,
            running=len(held),
            jobs=sorted(attempt.lease.id for attempt in held)[:MOST_JOBS],
            loop_lag=round(max(0.0, self._lag, blocked), 3),
            blocked_for=round(blocked, 3),
            idle_for=round(idle, 3),
            memory=resident(),
            draining=self.draining,
            takes=told.takes,
        )


def _type_of(attempt: Attempt) -> str:
    return "" if attempt.spec is None else attempt.spec.type

"""The processes of a worker: how many there are, which job gets which, and when one is renewed."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence

import structlog
from msgspec.structs import replace

from ...core.config import Settings
from ...core.queue import Finish
from .. import outcomes
from ..attempts import Attempt
from ..errors import HandlerError
from ..handlers import Registry
from ..slots import Slots
from .child import LEAVE, CannotStart, Child, Died
from .messages import Ended, Hello

_log = structlog.stdlib.get_logger("millstream.worker")

IDLE_SECONDS = 300.0
"""Seconds a process is kept without work."""

PATIENCE = 10.0
"""Seconds a job waits for a process before it is asked whether it takes the slots of others."""

TRIES = 3
"""Processes that may die one after another before they have begun with a job."""


class Processes:
    """At most `settings.processes`, started when first needed. A job waits for a free one.

    Jobs whose handlers ask for it run in them, and jobs that were running when a worker died: if
    one of them was why, it takes nobody along again. None is `available` without apps to load.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        apps: Sequence[str],
        worker: str,
        slots: Slots,
    ) -> None:
        self._slots = slots
        self._settings = settings
        self._apps = tuple(apps)
        self._worker = worker
        self._free = asyncio.Semaphore(settings.processes)
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self.available = bool(apps)
        if not apps:
            _refuse_processes(registry)

    async def run(self, attempt: Attempt, begun: Callable[[], object]) -> Finish:
        """Run an attempt to its verdict; calls `begun` when its handler is about to.

        When cancelled, the handler is told to stop, and its process killed.
        """
        if not await self._found_room():
            return outcomes.no_process(attempt, outcomes.CROWDED_RELEASE)
        try:
            ended = await self._run(attempt, begun)
        except Died as death:
            _log.warning("the process of a job died", job=attempt.lease.id, cause=str(death))
            most = self._settings.max_crashes
            return outcomes.crashed(attempt, str(death), self._worker, most)
        except CannotStart as error:
            _log.error("no process can be started: the job is offered again later",
                       job=attempt.lease.id, error=str(error))  # fmt: skip
            return outcomes.no_process(attempt)
        finally:
            self._free.release()
        lease = attempt.lease
        return Finish(lease.id, lease.fence, ended.verdict, ended.body, ended.delay_ms, ended.end)

    def kill(self) -> None:
        """End the processes that run jobs, now."""
        for child in self._all.difference(self._idle):
            child.kill()

    async def stop(self) -> None:
        """End all processes, those that run jobs now, and wait until they are gone."""
        self.kill()
        for child in self._idle:
            child.dismiss()
        try:
            async with asyncio.timeout(LEAVE + 1):
                for child in self._all:
                    await child.gone()
        except TimeoutError:
            _log.error("processes of jobs do not end although they were killed")

    async def _found_room(self) -> bool:
        """Take one of the places; False: it waited for long, and most slots are taken by now.

        So jobs for processes never hold more than half of the slots for long: behind them may be
        others, which need none. One that is handed back frees its slot before the next is asked.
        """
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await self._free.acquire()
            except TimeoutError:
                if self._slots.free < self._slots.limit // 2:
                    return False

    async def _run(self, attempt: Attempt, begun: Callable[[], object]) -> Ended:
        last: Died | None = None
        for _ in range(TRIES):
            try:
                return await self._run_in(self._take_idle() or await self._start(), attempt, begun)
            except Died as death:
                if death.begun:
                    raise
                last = death
        raise CannotStart(f"{TRIES} of them died before they could begin, the last one {last}")

    async def _run_in(self, child: Child, attempt: Attempt, begun: Callable[[], object]) -> Ended:
        lease = replace(attempt.lease, now=round(attempt.now()))
        try:
            return await child.run(lease, begun)
        finally:
            self._put_back(child)

    async def _start(self) -> Child:
        began = time.monotonic()
        hello = Hello(self._apps, sys.path, self._settings, os.getpid())
        child = await Child.start(hello)
        self._all = {one for one in self._all if one.alive} | {child}
        seconds = round(time.monotonic() - began, 3)
        _log.info("a process for jobs is ready", pid=child.pid, seconds=seconds)
        return child

    def _take_idle(self) -> Child | None:
        self._idle = [child for child in self._idle if child.alive and not child.spent]
        return self._idle.pop() if self._idle else None

    def _put_back(self, child: Child) -> None:
        most, memory = self._settings.process_max_jobs, self._settings.process_max_memory
        if child.spent:
            return
        if child.runs >= most > 0 or child.memory > memory > 0:
            child.dismiss()
            return
        self._idle.append(child)
        runs = child.runs
        asyncio.get_running_loop().call_later(IDLE_SECONDS, self._dismiss_idle, child, runs)

    def _dismiss_idle(self, child: Child, runs: int) -> None:
        """Let a process end that has had nothing to do since it was put back."""
        if child in self._idle and child.runs == runs:
            self._idle.remove(child)
            child.dismiss()


def _refuse_processes(registry: Registry) -> None:
    for handler in registry:
        if handler.executor == "process":
            expected = "a worker that knows the apps its processes are to load"
            raise HandlerError(handler.type, expected, "Worker(…) without apps")

"""The tasks that run attempts: a pool fed from a queue, since a task per job costs twice that."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context as Variables
from contextvars import copy_context

import structlog

from .attempts import Attempt
from .slots import Slots

_log = structlog.stdlib.get_logger("millstream.worker")

SLICE = 0.005
"""Seconds after which a runner lets the rest of the loop have a turn."""


Execute = Callable[[Attempt, "asyncio.Task[None]"], Awaitable[None]]


class Runners:
    """At most as many runners as slots, made when first needed.

    A runner that takes a job while others wait wakes one more, which does the same: so handlers
    that never wait are run by one task in one go, and handlers that do all start within a breath.
    """

    def __init__(self, slots: Slots, execute: Execute) -> None:
        self._slots = slots
        self._execute = execute
        self._ready: deque[Attempt] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._stopping = False
        # What a job leaves in context variables must not reach the next one.
        self._variables = copy_context()

    def put(self, attempts: Iterable[Attempt]) -> None:
        """Run attempts as soon as there are runners."""
        self._ready.extend(attempts)
        self._wake_one()

    def take_waiting(self) -> list[Attempt]:
        """Give up the attempts no runner has begun; their slots are free again."""
        waiting = list(self._ready)
        self._ready.clear()
        for _ in waiting:
            self._slots.give_back()
        return waiting

    async def stop(self) -> None:
        """End all runners, also those whose handlers do not listen; waits a moment for them."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=0.5)

    def _wake_one(self) -> None:
        if self._waking or self._stopping or not self._ready:
            return
        if self._idle:
            self._waking = True
            self._idle.pop().set_result(None)
        elif len(self._tasks) < self._slots.limit:
            self._waking = True
            self._spawn()

    def _spawn(self) -> None:
        variables = self._variables.copy()
        task = asyncio.get_running_loop().create_task(
            self._run(variables.copy()), context=variables
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a runner ended", exc_info=error)
        self._wake_one()

    async def _run(self, clean: Variables) -> None:
        loop = asyncio.get_running_loop()
        self._waking = False
        while await self._run_ready(clean) and not self._stopping:
            turn = loop.create_future()
            self._idle.append(turn)
            await turn
            self._waking = False

    async def _run_ready(self, clean: Variables) -> bool:
        """Run what waits. False if the variables of this task were changed: a fresh one goes on."""
        ready, execute, slots = self._ready, self._execute, self._slots
        task = asyncio.current_task()
        assert task is not None
        turn_ends = time.monotonic() + SLICE
        while ready:
            attempt = ready.popleft()
            if ready and not self._waking:
                self._wake_one()
            try:
                await execute(attempt, task)
            finally:
                slots.give_back()
            if task.cancelling():
                await _absorb(task)
            if copy_context() != clean:
                return False
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + SLICE
        return True


async def _absorb(task: asyncio.Task[None]) -> None:
    """Take back the cancellation of a handler that has ended, so that it hits no later one."""
    while task.cancelling():
        task.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)

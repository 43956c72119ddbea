"""Notices from a thread that a worker no longer works: its loop is blocked, or fetches no more.

Only time in which this thread itself ran is counted: a process that was stopped, or a machine that
slept, has not stalled. A server that cannot be reached is no stall either: the fetch loop goes
round all the same, for every call has its timeout.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from .slots import Slots
from .stats import Stats

_log = structlog.stdlib.get_logger("millstream.worker")

TICK = 0.5
"""Seconds between two looks."""

TELL_AFTER = 5.0
"""Seconds a loop is blocked before this thread reports in its stead, and between two reports."""


class Watchdog:
    """Watches one worker.

    bound    seconds after which a worker has stalled; 0: never
    tell     called here every few seconds of a blocked loop, with the seconds it is blocked
    stalled  called on the loop, once, with the reason: the fetch loop hangs
    dead     called here, once, with the seconds: the loop is blocked
    """

    def __init__(
        self,
        slots: Slots,
        stats: Stats,
        bound: float,
        *,
        tell: Callable[[float], None],
        stalled: Callable[[str], None],
        dead: Callable[[float], None],
    ) -> None:
        self._slots = slots
        self._stats = stats
        self._bound = bound
        self._tell = tell
        self._stalled = stalled
        self._dead = dead
        self._stopping = threading.Event()
        self._answered = True
        self._blocked = self._told = self._hung = 0.0
        self._progress = stats.progress
        self.fetching = True  # False: a worker that drains fetches no more

    def start(self) -> None:
        """Watch the running loop."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Have the thread end."""
        self._stopping.set()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        before = time.monotonic()
        while not self._stopping.wait(TICK):
            now = time.monotonic()
            passed, before = min(now - before, 2 * TICK), now
            try:
                self._look(loop, passed)
            except RuntimeError:
                return  # the loop was closed
            except Exception as error:
                _log.error("the watchdog failed and goes on", exc_info=error)

    def _look(self, loop: asyncio.AbstractEventLoop, passed: float) -> None:
        if not self._answered:
            self._blocked += passed
            self._hung = 0.0
            self._bark()
            return
        self._blocked = self._told = 0.0
        self._answered = False
        loop.call_soon_threadsafe(self._answer)
        if self._hangs():
            self._hung += passed
            if 0 < self._bound <= self._hung:
                self.fetching = False
                reason = f"its fetch loop has made no progress for {self._hung:.0f} s"
                loop.call_soon_threadsafe(self._stalled, reason)
        else:
            self._hung = 0.0

    def _answer(self) -> None:
        self._answered = True

    def _bark(self) -> None:
        if 0 < self._bound <= self._blocked:
            self._stopping.set()
            self._dead(self._blocked)
        elif self._blocked - self._told >= TELL_AFTER:
            self._told = self._blocked
            self._tell(self._blocked)

    def _hangs(self) -> bool:
        """Whether the fetch loop has not gone round since the last look, though it could."""
        went_on = self._stats.progress != self._progress
        self._progress = self._stats.progress
        return self.fetching and self._slots.free > 0 and not went_on

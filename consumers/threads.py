"""Threads for plain functions."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

MOST = 64
"""Threads of one worker, whatever its concurrency."""


class Threads:
    """A pool of daemon threads, made when first needed.

    Daemons, because a thread cannot be stopped: the interpreter would wait at its exit for a
    handler that has overrun its drain, as it does for those of concurrent.futures.
    """

    def __init__(self, limit: int) -> None:
        self._limit = min(limit, MOST)
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0

    def call(self, function: Callable[[], None]) -> None:
        """Run `function`, which must not raise, in a thread as soon as one is free."""
        self._calls.put(function)
        if not self._idle.acquire(blocking=False) and self._count < self._limit:
            self._count += 1
            threading.Thread(target=self._work, name=f"handler-{self._count}", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end that are free, and the others when they are."""
        for _ in range(self._count):
            self._calls.put(None)

    def _work(self) -> None:
        while (function := self._next()) is not None:
            function()
            del function  # what it holds must not live until the next call

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._calls.get_nowait()
        except Empty:
            self._idle.release()
            return self._calls.get()

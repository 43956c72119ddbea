"""Deadlines of processes, on a loop that may be held up."""

import asyncio
from collections.abc import Callable

READ_SECONDS = 0.1
"""Seconds in which a loop reads what a process has said, once it is not held up any more."""


class Deadline:
    """Calls `passed` after so many seconds, once what the process said before has been read.

    A loop that was held up for longer calls its timers first: without the second one a process that
    kept its time would be killed, and its job be charged for that.
    """

    def __init__(self, seconds: float, passed: Callable[[], object]) -> None:
        self._passed = passed
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._look_again)

    def cancel(self) -> None:
        """It was kept."""
        self._timer.cancel()

    def _look_again(self) -> None:
        self._timer = self._loop.call_later(READ_SECONDS, self._passed)

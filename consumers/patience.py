"""Calls that wait for a server that does not answer, rather than have a handler give up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from ..core.errors import LogLost, Unavailable

_log = structlog.stdlib.get_logger("millstream.worker")

T = TypeVar("T")

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0


async def patiently(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that may be made twice, again until its outcome is known."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except (Unavailable, LogLost) as error:
            _log.warning(f"{what} must wait", error=str(error))
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, LAST_PAUSE)

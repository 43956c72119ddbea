"""The parts of a worker as tasks: kept going, and ended."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.stdlib.get_logger("millstream.worker")


def begin(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """A part that goes on until it is ended, or returns."""
    return asyncio.get_running_loop().create_task(_supervise(name, run), name=name)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks until they end: redis-py drops a cancellation that meets it connecting."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)


async def _supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Keep a part going: whatever it dies of, it is started again."""
    while True:
        try:
            return await run()
        except Exception as error:
            _log.error("a part of the worker failed and begins again", part=name, exc_info=error)
            await asyncio.sleep(1)

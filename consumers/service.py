"""The worker as a process: signals, readiness, exit."""

import asyncio
import gc
import os
import signal
from collections.abc import Sequence
from types import FrameType

import structlog
import uvloop

from ..core.config import Settings
from ..core.ready import follow_supervisor, notify_ready
from .errors import AppError
from .handlers import Registry
from .loading import load_apps
from .parts import end
from .worker import Worker

_log = structlog.stdlib.get_logger("millstream.worker")


def serve(settings: Settings, apps: Sequence[str]) -> int:
    """Run a worker with the handlers of `apps` until SIGTERM or SIGINT, then drain it.

    The same when it should not go on, see `health`. A second signal ends the process at once.
    Returns the exit code. Raises AppError, HandlerError, ServerUnfit, ConfigError.
    """
    follow_supervisor()
    registry = load_apps(apps)
    if not len(registry):
        raise AppError(", ".join(apps), "at least one handler (@job) in it", "none")
    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    gc.set_threshold(50_000, 20, 50)
    return uvloop.run(_serve(settings, registry, apps))


async def _serve(settings: Settings, registry: Registry, apps: Sequence[str]) -> int:
    worker = Worker(settings, registry, apps)
    asked = asyncio.Event()
    _on_signals(asyncio.get_running_loop(), asked)
    starting = asyncio.ensure_future(worker.start())
    waiting = asyncio.ensure_future(asked.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # Redis was never reached: there is nothing to drain
        await end([starting])
        await worker.close()
        return 0
    try:
        await starting
    except BaseException:
        waiting.cancel()
        await worker.close()
        raise
    notify_ready()
    due = asyncio.ensure_future(worker.health.due.wait())
    await asyncio.wait({waiting, due}, return_when=asyncio.FIRST_COMPLETED)
    await worker.drain()
    retirement = worker.health.retirement
    code = 0 if retirement is None else retirement.code
    _log.info("stopped", worker=worker.name, code=code)
    return code


def _on_signals(loop: asyncio.AbstractEventLoop, asked: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT asks for a drain; the second ends the process.

    Plain handlers rather than the loop's: they run also while a handler blocks the loop.
    """
    seen = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            os._exit(128 + number)
        seen = True
        loop.call_soon_threadsafe(asked.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)

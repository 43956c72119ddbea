"""The role `projector`: one process that projects all partitions until it is told to stop."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import uvloop

from ..core import logs, ready
from ..core.config import Settings
from ..core.connection import check_server, connect, connect_blocking
from ..core.errors import Unavailable
from ..core.keys import Keys
from ..core.log import LogReader
from ..core.queue import Directory
from ..core.workers import Workers
from .conservation.auditor import Auditor
from .linker import keep_linking
from .projector import BLOCK_MS, Projector
from .retention import keep_dropping

AGAIN = 5.0
"""Seconds after which a part of the projector that failed begins again."""

log = structlog.get_logger("millstream.projector")


def serve(settings: Settings) -> None:
    """Project until SIGTERM or SIGINT; the batch being written is finished first."""
    logs.configure(settings.log_level, settings.log_format, role="projector")
    ready.follow_supervisor()
    tune_collector()
    uvloop.run(_until_stopped(settings))


def tune_collector() -> None:
    """Let the collector of reference cycles look rarely.

    A batch makes tens of thousands of objects, none in a cycle, and looking through them took
    half of all time (measured).
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


async def _until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await project(settings, stop)


async def project(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set; announces readiness once both servers answered."""
    keys = Keys(settings.namespace)
    blocking = connect_blocking(
        settings.redis_url, block=BLOCK_MS / 1000, timeout=settings.command_timeout
    )
    commands = connect(settings.redis_url, timeout=settings.command_timeout)
    try:
        with contextlib.suppress(Unavailable):
            await check_server(commands)
        directory = Directory(commands, keys)
        linking = partial(keep_linking, settings, directory, LogReader(commands, keys))
        beside = [
            asyncio.create_task(_kept("retention", partial(keep_dropping, settings, stop))),
            asyncio.create_task(_kept("linker", linking)),
        ]
        if settings.audit_rate:
            auditor = Auditor(settings, directory, Workers(commands, keys))
            beside.append(asyncio.create_task(_kept("auditor", partial(auditor.run, stop))))
        reader = LogReader(blocking, keys)
        await Projector(settings, reader, directory, ready.notify_ready).run(stop)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    finally:
        await blocking.aclose()
        await commands.aclose()


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Keep a part going until it returns: one that dies unseen would be missed by nobody."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("projector.part_failed", part=name)
            await asyncio.sleep(AGAIN)

"""Has what is too old dropped once an hour, beside the projector."""

import asyncio
import contextlib
import time

import structlog

from ...core.config import Settings
from ...core.errors import MillstreamError
from .policy import Policy
from .run import drop_expired

PAUSE = 3600.0
FIRST = 60.0
"""Seconds after the start: whoever starts often must not always begin with this."""

log = structlog.get_logger("millstream.retention")


async def keep_dropping(settings: Settings, stop: asyncio.Event) -> None:
    """Make a pass every hour until `stop` is set, whatever becomes of each."""
    policy = Policy.of(settings)
    if policy.nothing:
        return
    pause = FIRST
    while not await _stopped(stop, pause):
        pause = PAUSE
        try:
            now = time.time_ns() // 1_000_000
            dropped = await drop_expired(settings.postgres_dsn, policy, now)
        except MillstreamError as error:
            log.warning("retention.waits", reason=str(error))
        except Exception:
            log.exception("retention.failed")
        else:
            if any(dropped):
                log.info("retention.dropped", **dropped._asdict())


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()

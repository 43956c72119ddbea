"""The servers themselves, for commands that read the log and not the API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ..core.config import Settings
from ..core.connection import connect, connect_blocking
from ..core.keys import Keys
from ..core.log import LogReader
from ..core.queue import Directory


@asynccontextmanager
async def log_sources(
    settings: Settings, *, block_ms: int = 500
) -> AsyncGenerator[tuple[Any, LogReader, Directory]]:
    """The archive, the streams (reads may block so long), and which partitions there are."""
    from ..projections import queries

    keys = Keys(settings.namespace)
    timeout = settings.command_timeout
    redis = connect(settings.redis_url, timeout=timeout)
    blocking = connect_blocking(settings.redis_url, block=block_ms / 1000, timeout=timeout)
    pool = await queries.connect(settings)
    try:
        yield pool, LogReader(blocking, keys), Directory(redis, keys)
    finally:
        pool.terminate()
        await blocking.aclose()
        await redis.aclose()

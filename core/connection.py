"""Connections to Redis, and the one place where its errors become ours.

Commands are never retried by the driver: a write whose reply was lost may have been done, and only
a verb that can tell is safe to send again. Readers that block have connections of their own, whose
timeout is the block plus a margin.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

import hiredis
from redis import Redis as SyncRedis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import (
    GroupLost,
    IdTaken,
    LogLost,
    MemoryFull,
    MillstreamError,
    ServerUnfit,
    Unavailable,
)

BLOCK_MARGIN = 2.0
"""Seconds a blocking read may take beyond its block before the connection is given up."""


def connect(url: str, *, timeout: float, connections: int = 64) -> "Redis":
    """A client for commands; `timeout` in seconds bounds each, and connecting."""
    client = Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=AsyncRetry(NoBackoff(), 0),
        max_connections=connections,
        protocol=2,
        legacy_responses=False,
        decode_responses=False,
        health_check_interval=0,
    )
    for command in ("XREAD", "XRANGE"):
        # Entries are read as they come: a dict of each costs more than all else about it.
        client.response_callbacks.pop(command, None)
    pool = client.connection_pool
    pool.connection_class = _packing(pool.connection_class)
    return client


@cache
def _packing(kind: Any) -> Any:
    """The kind of connection (TCP, TLS or Unix) that packs commands in C.

    redis-py's async connections pack in Python: half of the time of a call with a thousand jobs.
    """

    class Packing(kind):
        def pack_command(self, *args: Any) -> list[bytes]:
            name = args[0].encode() if isinstance(args[0], str) else args[0]
            command: Any = (*name.split(), *args[1:])
            try:
                return [hiredis.pack_command(command)]
            except TypeError as error:
                raise exceptions.DataError(str(error)) from error

    return Packing


def connect_blocking(url: str, *, block: float, timeout: float) -> "Redis":
    """A client for reads that block up to `block` seconds."""
    return connect(url, timeout=max(block + BLOCK_MARGIN, timeout))


def connect_sync(url: str, *, timeout: float) -> "SyncRedis":
    """A client for threads."""
    return SyncRedis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        legacy_responses=False,
        decode_responses=False,
        health_check_interval=0,
    )


_BY_PREFIX: dict[str, type[MillstreamError]] = {
    "LOGLOST": LogLost,
    "NOGROUP": GroupLost,
    "OOM": MemoryFull,
    "IDTAKEN": IdTaken,
}


@contextmanager
def translated() -> Generator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise MemoryFull(f"Redis takes no new jobs: {error}") from error
    except (TimeoutError, exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise Unavailable(f"Redis did not answer: {str(error) or type(error).__name__}") from error
    except exceptions.ResponseError as error:
        text = str(error)
        for prefix, kind in _BY_PREFIX.items():
            if prefix in text:
                raise kind(text) from error
        if text.startswith(("LOADING", "MASTERDOWN", "READONLY", "MISCONF", "BUSY", "TRYAGAIN")):
            raise Unavailable(f"Redis cannot do this now: {text}") from error
        raise


async def check_server(redis: Any) -> None:
    """Refuse a server that may throw data away. Raises ServerUnfit or Unavailable."""
    with translated():
        try:
            policy = (await redis.config_get("maxmemory-policy")).get("maxmemory-policy")
        except exceptions.ResponseError:
            return  # Managed servers forbid CONFIG; their policy cannot be read.
    if isinstance(policy, bytes):
        policy = policy.decode()
    if policy not in (None, "noeviction"):
        raise ServerUnfit(
            f"Redis setting maxmemory-policy: expected 'noeviction', got: {policy!r};"
            " any other throws jobs away when memory is short"
        )

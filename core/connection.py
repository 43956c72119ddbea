"""Connections to Redis, and the one place where its errors become ours.

Commands are never retried by the driver: a write whose reply was lost may have been done, and only
a verb that can tell is safe to send again. Readers that block have connections of their own, whose
timeout is the block plus a margin.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import hiredis
from redis import Redis as SyncRedis
from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import (
    GroupLost,
    IdTaken,
    LogLost,
    MemoryFull,
    MillstreamError,
    QueueDraining,
    ServerUnfit,
    Unavailable,
)

Ask = Callable[..., Awaitable[list[Any]]]
"""Sends commands (each a tuple) and returns their replies."""

BLOCK_MARGIN = 2.0
"""Seconds a blocking read may take beyond its block before the connection is given up."""


def connect(url: str, *, timeout: float, connections: int = 64) -> "Redis":
    """A client for commands; `timeout` in seconds bounds each, and connecting.

    More than `connections` commands at a time wait for each other.
    """
    pool = _Pool.from_url(
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
    pool.connection_class = _packing(pool.connection_class)
    client = Redis.from_pool(pool)
    for command in ("XREAD", "XRANGE", "XREVRANGE"):
        # Entries are read as they come: a dict of each costs more than all else about it.
        client.response_callbacks.pop(command, None)
    return client


class _Pool(ConnectionPool):
    """Hands connections out without a lock or metrics: within one event loop neither is needed.

    Who finds all of them in use waits for one, in turn, for as long as a command may take.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        free = self.can_get_connection()
        connection: Any = self.get_available_connection() if free else await self._turn()
        try:
            # A connection that was closed, or holds what nobody read, is made anew.
            if not connection.is_connected or await connection.can_read():
                await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: Any) -> None:
        self._in_use_connections.remove(connection)
        try:
            if connection.should_reconnect():
                await connection.disconnect()
        except BaseException:
            connection = self.make_connection()  # of that one nothing is known
            raise
        finally:
            self._pass_on(connection)

    async def _turn(self) -> Any:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.connection_kwargs["socket_timeout"]):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came, and is not wanted any more
                self._in_use_connections.remove(turn.result())
                self._pass_on(turn.result())
            if isinstance(error, TimeoutError):
                message = f"all {self.max_connections} connections were in use"
                raise exceptions.ConnectionError(message) from None
            raise

    def _pass_on(self, connection: Any) -> None:
        """Give a connection to the first who waits for one and has not given up."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_use_connections.add(connection)
                turn.set_result(connection)
                return
        self._available_connections.append(connection)


@cache
def _packing(kind: Any) -> Any:
    """The kind of connection (TCP, TLS or Unix) that packs in C, and sends without a task.

    redis-py's async connections pack in Python: half of the time of a call with a thousand jobs.
    They also send through `asyncio.wait_for`, which costs a task and a turn of the loop each time.
    """

    class Packing(kind):
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            if not self.is_connected:
                await self.connect_check_health(check_health=False)
            try:
                async with asyncio.timeout(self.socket_timeout):
                    self._writer.writelines(command)
                    await self._writer.drain()
            except OSError as error:  # TimeoutError among them
                await self.disconnect(nowait=True)
                raise exceptions.ConnectionError(f"while writing: {error!r}") from error
            except BaseException:
                # Half a command may have been sent: nothing else may follow it.
                await self.disconnect(nowait=True)
                raise

        def pack_command(self, *args: Any) -> list[bytes]:
            name = args[0].encode() if isinstance(args[0], str) else args[0]
            command: Any = (*name.split(), *args[1:])
            try:
                return [hiredis.pack_command(command)]
            except TypeError as error:
                raise exceptions.DataError(str(error)) from error

    return Packing


async def call(client: "Redis", *command: Any) -> Any:
    """Send one command and return its reply as it came, with none of the driver's additions.

    What those cost (a retry loop without retries, a lookup of metrics, callbacks for commands that
    need none) is half of a lone call. Raises the driver's errors; see `translated`.
    """
    pool = client.connection_pool
    connection: Any = await pool.get_connection()
    try:
        await connection.send_command(*command)
        return await connection.read_response()
    except exceptions.ReadOnlyError:
        # Another server may be the primary by now, behind the same address.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


@asynccontextmanager
async def conversation(client: "Redis") -> AsyncGenerator[Ask]:
    """One connection to ask several times: what it is told is of one server, up all the time.

    Commands asked together are sent at once; an error that the server replies stands among the
    replies. Raises the driver's other errors.
    """
    pool = client.connection_pool
    connection: Any = await pool.get_connection()

    async def ask(*commands: Sequence[Any]) -> list[Any]:
        for command in commands:
            await connection.send_command(*command)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except exceptions.ResponseError as error:
                replies.append(error)
        return replies

    try:
        yield ask
    except BaseException:
        # Replies may still come that nobody would read.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


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


_NOT_NOW = (
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.NoPermissionError,
)
"""Of a server that is not in a state, or not in our favour, to do it; the driver takes the code of
these from their text."""

_NOT_NOW_CODES = ("LOADING", "MISCONF", "BUSY", "NOREPLICAS", "UNBLOCKED")
"""The same of those the driver does not know."""

_BY_PREFIX: dict[str, type[MillstreamError]] = {
    "LOGLOST": LogLost,
    "NOGROUP": GroupLost,
    "OOM": MemoryFull,
    "IDTAKEN": IdTaken,
    "DRAINING": QueueDraining,
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
        if isinstance(error, _NOT_NOW) or text.startswith(_NOT_NOW_CODES):
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

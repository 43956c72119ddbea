"""Connections to PostgreSQL, and the one place where its errors become ours."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg

from ..core.errors import TablesUnavailable

CONNECT_TIMEOUT = 5

CLOSE_TIMEOUT = 2.0
"""Seconds after which connections that are not given back yet are closed all the same."""


async def connect_pool(dsn: str, *, timeout: float, size: int = 10) -> asyncpg.Pool:
    """A pool for queries, usable as soon as the server is; `timeout` seconds bound each query.

    Connects to nothing yet, so the server may be down.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=timeout,
        init=set_codecs,
        server_settings={"application_name": "millstream"},
    )


async def close_pool(pool: asyncpg.Pool) -> None:
    """Close a pool whose users have ended, or were cancelled.

    A user that was cancelled while it gave its connection back has left that to a task of the
    driver. It is waited for: it would fail unheard if its connection were closed, which is logged
    as an error.
    """
    with suppress(*_TROUBLE):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()


async def connect_once(dsn: str, *, timeout: float, role: str, **server_settings: str) -> Any:
    """One connection of its own. Raises Unavailable."""
    with translated():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=timeout,
            server_settings={"application_name": f"millstream {role}", **server_settings},
        )
        try:
            await set_codecs(connection)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def set_codecs(connection: Any) -> None:
    """Let JSON pass as the bytes it is: nothing is parsed that is only stored or handed on."""
    # COPY speaks binary only, so a codec of format 'text' would make it fail.
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


_TROUBLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server died between two messages of one statement
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalServerError,
    TimeoutError,
    OSError,
)
"""What passes when the server is back, mended, migrated or asked again."""


@contextmanager
def translated() -> Generator[None]:
    """Turn connection trouble into TablesUnavailable; other errors of the driver pass."""
    try:
        yield
    except _TROUBLE as error:
        raise TablesUnavailable(f"PostgreSQL cannot do this now: {_text(error)}") from error


def _text(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedFunctionError):
        return f"{text} (was `millstream migrate` run?)"
    return text

"""What the driver raises becomes ours where it means trouble, and passes where it means a fault."""

from __future__ import annotations

import asyncio
import gc

import asyncpg
import pytest

from millstream.core.errors import Unavailable
from millstream.projections import connection
from millstream.projections.connection import close_pool, connect_pool, translated


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        # Met by a projector whose server was killed: asyncpg gets the end of the connection while
        # it prepares a statement, and refuses to go on with it.
        asyncpg.InternalClientError("cannot switch to state 12; another operation is under way"),
    ],
)  # fmt: skip
def test_trouble(error: Exception) -> None:
    with pytest.raises(Unavailable, match="PostgreSQL cannot do this now"), translated():
        raise error


def test_a_fault_of_ours_is_none() -> None:
    with pytest.raises(asyncpg.UniqueViolationError), translated():
        raise asyncpg.UniqueViolationError("twice")


async def test_a_pool_waits_for_a_connection_that_is_just_given_back(postgres_dsn: str) -> None:
    """Whoever gave it back was cancelled: an error of that nobody would hear."""
    pool = await connect_pool(postgres_dsn, timeout=60)
    given = asyncio.ensure_future(pool.release(await pool.acquire()))
    await asyncio.sleep(0)  # begun by the user,
    await asyncio.sleep(0)  # and by the driver's own task
    given.cancel()
    await close_pool(pool)
    await asyncio.wait([given])
    assert pool.get_size() == 0
    gc.collect()  # a task that failed unheard tells the loop, and so fails this test


async def test_a_pool_does_not_wait_for_ever(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", 0.05)
    pool = await connect_pool(postgres_dsn, timeout=60)
    held = await pool.acquire()
    await close_pool(pool)
    with pytest.raises(asyncpg.InterfaceError):
        await held.fetchval("SELECT 1")

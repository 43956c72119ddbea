"""Partitions for tests to break, and what the checker then says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from millstream.core import events as ev
from millstream.core.config import Settings
from tests.core.verbs.mill import Mill
from tests.invariants import check
from tests.projections.stage import projecting, until


@asynccontextmanager
async def busy_mill(redis_url: str) -> AsyncGenerator[Mill]:
    """A partition with jobs in every state; what a test breaks in it stays broken."""
    mill = Mill(redis_url)
    await mill.submit(7)
    leases = await mill.claim(6)
    for lease, verdict in zip(leases, ("succeeded", "failed", "retry", "cancelled"), strict=False):
        assert await mill.finish(lease, verdict, delay_ms=60_000)
    await mill.cancel(leases[4].id)
    await mill.submit(delay_ms=60_000)
    await mill.queue.announce(ev.WorkerStarted("w1"))
    yield mill
    await mill.redis.aclose()


async def project_all(mill: Mill, settings: Settings) -> Any:
    """Project its whole log; a connection to break the tables with."""
    connection: Any = await asyncpg.connect(settings.postgres_dsn)
    await mill.redis.sadd(mill.keys.queues, "default")
    head = len(await mill.log())
    async with projecting(settings):
        await until(lambda: connection.fetchval("SELECT 1 FROM checkpoints WHERE seq = $1", head))
    return connection


async def found(mill: Mill, **how: Any) -> set[str]:
    """Names of what the checker finds broken."""
    return (await check(mill.url, ["default"], acknowledged=mill.accepted, **how)).names

"""Legal holds: what retention must leave alone. Errors: Unavailable."""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from .connection import translated

_PLACE = """
INSERT INTO legal_holds (name, queue, tag, job, actor, reason) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (name) DO NOTHING RETURNING placed_at"""
_LIST = """
SELECT name, queue, tag, job::text, actor, reason, placed_at
  FROM legal_holds WHERE name > $1 ORDER BY name LIMIT $2"""
_RELEASE = "DELETE FROM legal_holds WHERE name = $1 RETURNING name"


class Hold(NamedTuple):
    """All jobs of a queue, all with a tag, or one job: exactly one of the three is given."""

    name: str
    queue: str | None
    tag: str | None
    job: str | None
    actor: str
    reason: str
    placed_at: datetime | None = None


async def place(pool: asyncpg.Pool, hold: Hold) -> datetime | None:
    """Place a hold; when it was placed, None if there is one of that name."""
    with translated():
        return await pool.fetchval(_PLACE, *hold[:-1])


async def holds(pool: asyncpg.Pool, after: str = "", limit: int = 100) -> list[Hold]:
    """Holds in the order of their names."""
    with translated():
        return [Hold(*row) for row in await pool.fetch(_LIST, after, limit)]


async def release(pool: asyncpg.Pool, name: str) -> bool:
    """Release a hold; False if there is none."""
    with translated():
        return await pool.fetchval(_RELEASE, name) is not None

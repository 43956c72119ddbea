"""The keys of subjects in PostgreSQL, where they are for good. Errors: Unavailable.

No projection: these rows come from no event, since what stands in the log can never be erased.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from ..core.encryption import NAMES
from ..core.subjects import Wrapped
from .connection import translated

_ADD = """
INSERT INTO subject_keys (id, subject, wrapped)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
    ON CONFLICT (subject) WHERE subject IS NOT NULL DO NOTHING"""
_OF = "SELECT subject, id, wrapped FROM subject_keys WHERE subject = ANY($1::text[])"
_BY_ID = """
SELECT id, subject, wrapped, created_at, erased_at, actor, reason
  FROM subject_keys WHERE id = ANY($1::text[])"""
_ERASE = """
UPDATE subject_keys
   SET subject = NULL, wrapped = NULL, erased_at = now(), actor = $2, reason = $3
 WHERE subject = $1 RETURNING id"""
_LIVE = """
SELECT subject, id, wrapped FROM subject_keys
 WHERE wrapped IS NOT NULL AND id > $1 ORDER BY id LIMIT $2"""
_ERASED = """
SELECT id FROM subject_keys WHERE wrapped IS NULL AND id > $1 ORDER BY id LIMIT $2"""
_REWRAP = """
UPDATE subject_keys AS key SET wrapped = new.wrapped
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS new (id, old, wrapped)
 WHERE key.id = new.id AND key.wrapped = new.old"""
_KEEP_NAMES = """
INSERT INTO subject_keys (id, subject, wrapped) VALUES ($1, $1, $2) ON CONFLICT (id) DO NOTHING"""


class KeyRow(NamedTuple):
    """What is known of a key; of an erased one who erased it, when and why."""

    id: str
    subject: str | None
    wrapped: bytes | None
    created_at: datetime
    erased_at: datetime | None
    actor: str
    reason: str


async def add(pool: asyncpg.Pool, keys: Collection[Wrapped]) -> list[Wrapped]:
    """Keep new keys; returns those that stand, which for some subjects may be others."""
    subjects = [key.subject for key in keys]
    ids, wrapped = [key.id for key in keys], [key.wrapped for key in keys]
    with translated():
        await pool.execute(_ADD, ids, subjects, wrapped)
        return [Wrapped(*row) for row in await pool.fetch(_OF, subjects)]


async def of(pool: asyncpg.Pool, subjects: Collection[str]) -> list[Wrapped]:
    """The keys of those subjects (digests) that have one."""
    with translated():
        return [Wrapped(*row) for row in await pool.fetch(_OF, list(subjects))]


async def by_id(pool: asyncpg.Pool, ids: Collection[str]) -> dict[str, KeyRow]:
    """Keys by id, erased ones too."""
    with translated():
        rows: list[Any] = await pool.fetch(_BY_ID, list(ids))
    return {row["id"]: KeyRow(*row) for row in rows}


async def erase(pool: asyncpg.Pool, subject: str, actor: str, reason: str) -> list[str]:
    """Erase the key of a subject (its digest); returns the ids of what was erased."""
    with translated():
        return [row["id"] for row in await pool.fetch(_ERASE, subject, actor, reason)]


async def live(pool: Any, after: str = "", limit: int = 1000) -> list[Wrapped]:
    """Keys that were not erased, by id: to give them to a Redis that has lost them."""
    with translated():
        return [Wrapped(*row) for row in await pool.fetch(_LIVE, after, limit)]


async def erased(pool: Any, after: str = "", limit: int = 1000) -> list[str]:
    """Ids of keys that were erased, in order: a Redis that went back may have them still."""
    with translated():
        return [row["id"] for row in await pool.fetch(_ERASED, after, limit)]


async def keep_names(pool: asyncpg.Pool, wrapped: bytes) -> None:
    """Keep the secret that names subjects, wrapped, unless one is kept."""
    with translated():
        await pool.execute(_KEEP_NAMES, NAMES, wrapped)


async def rewrap(pool: asyncpg.Pool, keys: Collection[tuple[str, bytes, bytes]]) -> int:
    """Put keys wrapped anew (id, wrapped before, wrapped now) in the place of those before; how
    many: not of what was erased or changed meanwhile."""
    ids, old, new = ([key[column] for key in keys] for column in range(3))
    with translated():
        return int((await pool.execute(_REWRAP, ids, old, new)).removeprefix("UPDATE "))

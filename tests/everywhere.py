"""All that is kept anywhere, as bytes: for a search for what must not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from millstream.core.export import read_export

_TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
 WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
   AND NOT starts_with(schemaname, 'pg_temp')
"""
"""But what a session has for itself."""


async def in_redis(redis: Any) -> dict[str, bytes]:
    """Key → its name and its whole value; DUMP would not do, since it compresses."""
    found: dict[str, bytes] = {}
    async for key in redis.scan_iter("*", count=1000):
        kind = (await redis.type(key)).decode()
        if kind == "none":
            continue  # it went meanwhile: workers and projectors go on
        found[key.decode()] = key + b"\n" + _flat(await _value(redis, key, kind))
    return found


async def _value(redis: Any, key: bytes, kind: str) -> Any:
    match kind:
        case "string":
            return await redis.get(key)
        case "hash":
            return await redis.hgetall(key)
        case "list":
            return await redis.lrange(key, 0, -1)
        case "set":
            return await redis.smembers(key)
        case "zset":
            return await redis.zrange(key, 0, -1)
        case "stream":
            return await redis.execute_command("XRANGE", key, "-", "+")
        case "none":
            return None  # deleted since it was listed
        case _:
            raise AssertionError(f"expected a type that is known here, got {kind} of {key!r}")


def _flat(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return _flat([part for pair in value.items() for part in pair])
    if isinstance(value, list | set | tuple):
        return b"\n".join(map(_flat, value))
    return b"" if value is None else str(value).encode()


async def in_postgres(dsn: str) -> dict[str, bytes]:
    """Table → all of its rows; binary values as they are, too."""
    connection = await asyncpg.connect(dsn)
    try:
        names = [row[0] for row in await connection.fetch(_TABLES)]
        return {name: await _rows(connection, name) for name in names}
    finally:
        await connection.close()


async def _rows(connection: Any, table: str) -> bytes:
    rows = await connection.fetch(f"SELECT * FROM {table}")
    return b"\n".join(_flat(list(row.values())) for row in rows)


def in_folder(folder: Path) -> dict[str, bytes]:
    """File of an export → its bytes; and what it says, for it may be compressed."""
    found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found["as it is read"] = b"\n".join(record.body for record in read_export(folder))
    return found


def where(text: str | bytes, places: dict[str, bytes]) -> list[str]:
    """The places that hold a text."""
    raw = text.encode() if isinstance(text, str) else text
    return sorted(name for name, held in places.items() if raw in held)

"""What the live tables know beyond the archive, because retention has dropped events or rows.

Such statistics are taken over as they are, and rows that were dropped are not brought back. All of
it can be done again after a crash, and comes to the same.
"""

from typing import Any

import msgspec

from ...core.times import time_of
from ..connection import translated
from ..retention.jobs import take_out
from ..retention.run import LOCK
from .shadow import Shadow


class Trusted(msgspec.Struct, frozen=True):
    """What the rebuilt tables say of a queue by the word of the live ones: no event tells it any
    more, so the comparison proves nothing of it.

    before    statistics of minutes before this are those of the live tables, and so is their part
              of those of all time, and when errors and flows began; None: all are made of events
    rows      of statistics by minute that were taken over
    left_out  jobs that ended before their age, without a row in the live tables: taken for dropped
    """

    queue: str
    before: str | None
    rows: int
    left_out: int


async def hold_retention(connection: Any) -> None:
    """Let nothing be dropped while the connection is open; waits for a pass that is under way."""
    with translated():
        await connection.execute("SELECT pg_advisory_lock_shared($1)", LOCK)


async def keep_beyond_archive(connection: Any, shadow: Shadow) -> list[Trusted]:
    """Bring the shadow, at rest, to what the live tables are beyond the archive; what that is."""
    with translated():
        found = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM dropped_events) OR EXISTS (SELECT FROM dropped_before)"
        )
        if not found:
            return []
        async with connection.transaction():
            await _horizons(connection, shadow)
            for name in ("forget_minutes", "keep_minutes"):
                for table in ("job_minutes", "job_minute_durations"):
                    await connection.execute(shadow.sql(name).replace(":table", table))
            for name in ("forget_durations", "keep_durations", "keep_letters", "keep_flows"):
                await connection.execute(shadow.sql(name))
            rows = await connection.fetch(shadow.sql("forget_dropped"))
            gone = [row["queue"] for row in rows], [row["count"] for row in rows]
            await connection.execute(shadow.sql("rebuild_left_out"), *gone)
            told = await connection.fetch(shadow.sql("rebuild_trusted"))
            # The statements that take out name no schema.
            await connection.execute(f"SET LOCAL search_path = {shadow.name}")
            await take_out(connection, rows)
    return [_trusted(*row) for row in told]


def _trusted(queue: str, before: int | None, rows: int | None, left_out: int) -> Trusted:
    return Trusted(queue, None if before is None else time_of(before), rows or 0, left_out)


async def _horizons(connection: Any, shadow: Shadow) -> None:
    table = f"{shadow.name}.rebuild_horizons"
    await connection.execute(f"DROP TABLE IF EXISTS {table}")
    await connection.execute(f"CREATE TABLE {table} (queue text, events bigint, minutes bigint)")
    await connection.execute(shadow.sql("rebuild_horizons"))
    left_out = f"{shadow.name}.rebuild_left_out (queue text PRIMARY KEY, jobs bigint NOT NULL)"
    await connection.execute(f"CREATE TABLE IF NOT EXISTS {left_out}")

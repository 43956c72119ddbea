"""Drops archived events whose jobs were dropped, by days: the archive deletes no rows.

A day of which some must stay is written anew without the others, once most of it may go. Those that
say how queues and schedules are set up stay. Which events went is noted, so that a gap they leave
is known for what it is.
"""

from collections.abc import Mapping
from typing import Any

from ..partitions import DAY_MS, day_name
from ..statements import statement


async def drop_events(connection: Any, day: int, cutoffs: Mapping[str, int], *, dry: bool) -> int:
    """Drop the events of a day that may go; how many: all of them, most of them, or none."""
    table = f"job_events_{day_name(day)}"
    ends = (day + 1) * DAY_MS
    gone = [queue for queue, cutoff in cutoffs.items() if ends <= cutoff]
    total, kept = await connection.fetchrow(_sql("count_kept_events", table), gone)
    if total == 0 or 2 * kept > total:
        return 0
    if not dry:
        # One snapshot: what is noted as dropped is what is dropped, whatever comes meanwhile.
        async with connection.transaction(isolation="repeatable_read"):
            await _drop(connection, table, day, gone, kept)
    return total - kept


async def _drop(connection: Any, table: str, day: int, gone: list[str], kept: int) -> None:
    await connection.execute(_sql("note_dropped_events", table), gone)
    await connection.execute(f"ALTER TABLE job_events DETACH PARTITION {table}")
    await connection.execute(f"ALTER TABLE {table} RENAME TO {table}_old")
    if kept:
        await connection.execute("SELECT add_events_day($1)", day)
        await connection.execute(_sql("keep_events", table), gone)
    await connection.execute(f"DROP TABLE {table}_old")


def _sql(name: str, table: str) -> str:
    return statement(name).replace(":table", table)

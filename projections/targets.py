"""Jobs as commands on many need them: pages without payloads, and specs for running jobs again.

Errors: Unavailable; InvalidCursor where a cursor is taken.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from .connection import translated
from .listing import JobFilter, listing, next_cursor, read_cursor
from .rows import read_record
from .statements import statement

SPECS_AT_ONCE = 100
"""Most specs to read at once: each may have megabytes."""


class Target(NamedTuple):
    """A job to do something to."""

    id: str
    queue: str
    priority: int
    version: int


class TargetPage(NamedTuple):
    """Targets, newest first, and where the next page begins; None: there is no more."""

    items: list[Target]
    next_cursor: str | None


async def list_targets(
    pool: asyncpg.Pool, wanted: JobFilter, cursor: str | None, limit: int
) -> TargetPage:
    """A page of the jobs that fit `wanted`, newest first."""
    columns = "id, queue, priority, version"
    sql, args = listing(wanted, read_cursor(cursor), limit + 1, columns)
    with translated():
        rows = await pool.fetch(sql, *args)
    items = [Target(str(row[0]), row[1], row[2], row[3]) for row in rows[:limit]]
    return TargetPage(items, next_cursor(items[-1].id) if len(rows) > limit else None)


async def specs(pool: asyncpg.Pool, ids: Sequence[str]) -> dict[str, bytes]:
    """The last spec of each job that the archive still holds one of, by id."""
    with translated():
        rows = await pool.fetch(statement("job_specs"), ids)
    return {record.job: record.body for record in map(read_record, rows)}


async def queue_states(pool: asyncpg.Pool, queues: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many jobs of each queue are in which state, as the projector counts them."""
    found: dict[str, dict[str, int]] = {queue: {} for queue in queues}
    with translated():
        rows = await pool.fetch(statement("queue_states"), queues)
    for queue, state, count in rows:
        found[queue][state] = count
    return found

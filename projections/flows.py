"""Reading flows: their counts, jobs and edges. Errors: Unavailable, InvalidCursor."""

import base64
import binascii
from typing import Any

import asyncpg
from msgspec import Struct

from ..core.errors import InvalidCursor
from ..core.ids import is_id
from ..core.jobs import JobState
from .connection import translated
from .statements import statement

NO_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class FlowCounts(Struct, frozen=True):
    """A flow: ms since 1970 of its first and last event, its jobs in all and by state."""

    id: str
    first_at: int
    last_at: int
    total: int
    by_state: dict[str, int]


class FlowNode(Struct, frozen=True, gc=False):
    """A job of a flow in its graph."""

    id: str
    type: str
    queue: str
    state: JobState


class FlowEdge(Struct, frozen=True, gc=False):
    """`dependent` waits, or waited, for `parent`."""

    parent: str
    dependent: str


async def get_flow(pool: asyncpg.Pool, flow: str) -> FlowCounts | None:
    """One flow; None if the tables do not know it."""
    rows = await _fetch(pool, "flow", flow)
    return _counts(rows[0]) if rows else None


async def list_flows(
    pool: asyncpg.Pool, cursor: str | None, limit: int
) -> tuple[list[FlowCounts], str | None]:
    """A page of flows, the newest first, and where the next begins."""
    (before,) = _read(cursor, 1) if cursor else (LAST_ID,)
    rows = await _fetch(pool, "flows", before, limit + 1)
    found = [_counts(row) for row in rows[:limit]]
    return found, _cursor(found[-1].id) if len(rows) > limit else None


async def flow_jobs(
    pool: asyncpg.Pool, flow: str, cursor: str | None, limit: int
) -> tuple[list[FlowNode], str | None]:
    """A page of the jobs of a flow by id, and where the next begins."""
    (after,) = _read(cursor, 1) if cursor else (NO_ID,)
    rows = await _fetch(pool, "flow_jobs", flow, after, limit + 1)
    found = [
        FlowNode(str(row["id"]), row["type"], row["queue"], JobState(row["state"]))
        for row in rows[:limit]
    ]
    return found, _cursor(found[-1].id) if len(rows) > limit else None


async def flow_edges(
    pool: asyncpg.Pool, flow: str, cursor: str | None, limit: int
) -> tuple[list[FlowEdge], str | None]:
    """A page of the edges of a flow, and where the next begins."""
    after = _read(cursor, 2) if cursor else (NO_ID, NO_ID)
    rows = await _fetch(pool, "flow_edges", flow, *after, limit + 1)
    found = [FlowEdge(str(row["parent"]), str(row["dependent"])) for row in rows[:limit]]
    if len(rows) <= limit:
        return found, None
    return found, _cursor(found[-1].dependent, found[-1].parent)


def _counts(row: Any) -> FlowCounts:
    return FlowCounts(
        str(row["id"]),
        row["first_at"],
        row["last_at"],
        row["jobs"],
        {state.value: row[state.value] for state in JobState},
    )


def _cursor(*ids: str) -> str:
    raw = b"".join(bytes.fromhex(id.replace("-", "")) for id in ids)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read(cursor: str, count: int) -> tuple[str, ...]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor(cursor) from None
    digits = [raw[at : at + 16].hex() for at in range(0, len(raw), 16)]
    ids = tuple("-".join((d[:8], d[8:12], d[12:16], d[16:20], d[20:])) for d in digits)
    if len(raw) != 16 * count or not all(map(is_id, ids)) or _cursor(*ids) != cursor:
        raise InvalidCursor(cursor)
    return ids


async def _fetch(pool: asyncpg.Pool, name: str, *args: Any) -> list[Any]:
    with translated():
        return await pool.fetch(statement(name), *args)

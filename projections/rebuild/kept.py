"""What the live tables know beyond the archive, because retention has dropped events or rows.

Such statistics are taken over as they are, and rows that were dropped are not brought back. All of
it can be done again after a crash, and comes to the same.
"""

from typing import Any

from ..connection import translated
from ..retention.jobs import take_out
from ..retention.run import LOCK
from .shadow import Shadow


async def hold_retention(connection: Any) -> None:
    """Let nothing be dropped while the connection is open; waits for a pass that is under way."""
    with translated():
        await connection.execute("SELECT pg_advisory_lock_shared($1)", LOCK)


async def keep_beyond_archive(connection: Any, shadow: Shadow) -> None:
    """Bring the shadow, at rest, to what the live tables are beyond the archive."""
    with translated():
        found = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM dropped_events) OR EXISTS (SELECT FROM dropped_before)"
        )
        if not found:
            return
        async with connection.transaction():
            await _horizons(connection, shadow)
            for name in ("forget_minutes", "keep_minutes"):
                for table in ("job_minutes", "job_minute_durations"):
                    await connection.execute(shadow.sql(name).replace(":table", table))
            for name in ("forget_durations", "keep_durations", "keep_letters", "keep_flows"):
                await connection.execute(shadow.sql(name))
            rows = await connection.fetch(shadow.sql("forget_dropped"))
            # The statements that take out name no schema.
            await connection.execute(f"SET LOCAL search_path = {shadow.name}")
            await take_out(connection, rows)


async def _horizons(connection: Any, shadow: Shadow) -> None:
    table = f"{shadow.name}.rebuild_horizons"
    await connection.execute(f"DROP TABLE IF EXISTS {table}")
    await connection.execute(f"CREATE TABLE {table} (queue text, events bigint, minutes bigint)")
    await connection.execute(shadow.sql("rebuild_horizons"))

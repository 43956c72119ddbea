"""Tables like the live ones, in a schema of their own, until they take their place.

The live tables are those of the schema that connections find first (`public`, unless the DSN says
otherwise). The shadow is filled while they serve; `swap` moves the live ones into a third schema,
where they are kept until they are dropped, and the shadow's into the first.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from ...core.errors import MillstreamError
from ..partitions import DAY_MS, jobs_table
from ..statements import statement

TABLES = (
    "jobs",
    "job_counts",
    "job_minutes",
    "job_minute_durations",
    "job_durations",
    "dead_letters",
    "job_links",
    "flows",
    "parked_events",
)
"""What is rebuilt of the built-in projection."""

KEPT = {
    "job_events": "the archive itself",
    "checkpoints": "up to where the archive is",
    "queue_snapshots": "counts as they were then, at instants that no event tells",
    "conservation": "the projector's last look at live jobs; it looks again all the time",
    "seals": "proof of what the archive was",
    "seal_targets": "up to where that proof was told to others",
    "subject_keys": "keys that no event holds, so that they can be erased",
    "legal_holds": "what operators asked for",
    "dropped_events": "what retention did",
    "dropped_before": "what retention did",
    "log_losses": "what happened to logs, and what operators did",
    "log_gaps": "what operators declared",
    "projections": "which version each projection's tables have",
    "projection_checkpoints": "up to where projections of users' own are",
    "schema_migrations": "which migrations were made",
}
"""All other tables, and why a rebuild leaves them alone."""

INDEX_MEMORY = "256MB"
"""What each connection that makes indexes may sort in."""


class OldKept(MillstreamError):
    """The tables from before the last rebuild are still there."""


class Shadow:
    """Schemas of one projection: `name` its shadow, `old` what it replaced, `live` the one served.

    live  as the server quotes it; see `find_live`
    """

    def __init__(self, live: str, projection: str = "") -> None:
        suffix = f"_{projection}" if projection else ""
        self.live = live
        self.name = f"millstream_shadow{suffix}"
        self.old = f"millstream_old{suffix}"

    def sql(self, name: str) -> str:
        """A statement of sql/queries that names the schemas it speaks of."""
        text = statement(name)
        return text.replace(":live", self.live).replace(":shadow", self.name)

    async def exists(self, connection: Any) -> bool:
        """Whether a rebuild was begun, and neither finished nor dropped."""
        return await _has_schema(connection, self.name)

    async def old_kept(self, connection: Any) -> bool:
        """Whether the tables from before the last rebuild are still there."""
        return await _has_schema(connection, self.old)

    async def create(self, connection: Any, shards: int) -> None:
        """Make the tables, empty and with their primary keys alone, and the progress, at its
        beginning. Raises OldKept."""
        if await self.old_kept(connection):
            raise OldKept(
                f"the tables from before the last rebuild are still kept, in schema {self.old}:"
                " look whether you need them, then run `millstream rebuild --drop-old`"
            )
        async with connection.transaction():
            await connection.execute(f"CREATE SCHEMA {self.name}")
            for table in TABLES:
                await self._copy_table(connection, table)
            await connection.execute(self.sql("rebuild_progress"))
            await connection.execute(self.sql("begin_rebuild"), shards)
        await self.match_days(connection)

    async def _copy_table(self, connection: Any, table: str) -> None:
        row = await connection.fetchrow(self.sql("table_shape"), f"{self.live}.{table}")
        await connection.execute(
            f"CREATE TABLE {self.name}.{table}"
            f" (LIKE {self.live}.{table} INCLUDING ALL EXCLUDING INDEXES)"
            + (f" PARTITION BY {row['partitioned']}" if row["partitioned"] else "")
            + (f" WITH ({row['options']})" if row["options"] else "")
        )
        for key in row["keys"]:
            await connection.execute(f"ALTER TABLE {self.name}.{table} ADD {key}")
        for grant in row["grants"]:
            await connection.execute(grant % f"{self.name}.{table}")

    async def match_days(self, connection: Any) -> None:
        """Give `jobs` the partitions that the live one has."""
        for row in await connection.fetch(self.sql("days_missing"), f"{self.live}.jobs", self.name):
            await self._add_day(connection, row["name"], row["bounds"])

    async def add_days(self, connection: Any, days: Iterable[int]) -> None:
        """Give `jobs` partitions for these days, unless they are there."""
        for day in days:
            ends = day * DAY_MS, (day + 1) * DAY_MS
            bounds = await connection.fetchval(self.sql("day_bounds"), *ends)
            await self._add_day(connection, jobs_table(day), bounds)

    async def _add_day(self, connection: Any, table: str, bounds: str) -> None:
        child = f"{self.name}.{table}"
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", self.name
            )
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", child):
                return
            # As add_partition does it, so that readers and writers of other days go on.
            await connection.execute(
                f"CREATE TABLE {child} (LIKE {self.name}.jobs INCLUDING ALL)"
                " WITH (fillfactor = 100)"
            )
            await connection.execute(
                f"ALTER TABLE {self.name}.jobs ATTACH PARTITION {child} {bounds}"
            )

    async def index(self, *connections: Any) -> None:
        """Make the indexes that were left out, as they are on the live tables, and statistics.

        As many at once as there are connections.
        """
        first, work = connections[0], list[str]()
        for table in TABLES:
            for definition in await first.fetch(
                self.sql("indexes_missing"), f"{self.live}.{table}", f"{self.name}.{table}"
            ):
                before, _, after = definition["sql"].partition(f" ON {definition['on']} ")
                work.append(f"{before} ON {self.name}.{table} {after}")
        # The statistics of indexed expressions come with a later ANALYZE, as with any new index.
        work += [f"ANALYZE {self.name}.{table}" for table in TABLES]
        work.reverse()

        async def make(connection: Any) -> None:
            await connection.execute(f"SET maintenance_work_mem = '{INDEX_MEMORY}'")
            while work:
                await connection.execute(work.pop())

        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(make(connection))

    async def swap(self, connection: Any) -> None:
        """Put the shadow's tables in the place of the live ones, in the caller's transaction."""
        await connection.execute(f"CREATE SCHEMA {self.old}")
        tables = await connection.fetch(self.sql("shadow_tables"), self.name)
        for row in await connection.fetch(
            self.sql("replaced_tables"), self.live, [row["name"] for row in tables]
        ):
            await connection.execute(f"ALTER TABLE {self.live}.{row['name']} SET SCHEMA {self.old}")
        for row in tables:
            await connection.execute(
                f"ALTER TABLE {self.name}.{row['name']} SET SCHEMA {self.live}"
            )
        await connection.execute(f"DROP SCHEMA {self.name} CASCADE")

    async def drop(self, connection: Any) -> None:
        """Give a rebuild up: the shadow is gone."""
        await connection.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")

    async def drop_old(self, connection: Any) -> bool:
        """Drop the tables from before the last rebuild; whether there were any."""
        kept = await self.old_kept(connection)
        await connection.execute(f"DROP SCHEMA IF EXISTS {self.old} CASCADE")
        return kept


async def find_live(connection: Any) -> str:
    """The schema whose tables are served, quoted. Run on a connection with no path of its own."""
    return await connection.fetchval("SELECT quote_ident(current_schema())")


async def _has_schema(connection: Any, name: str) -> bool:
    return await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", name)

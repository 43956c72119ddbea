"""Runs projections of users' own over the archive: all of it at first, then what comes."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog
from asyncpg.exceptions import SyntaxOrAccessError

from ...core.errors import MillstreamError, UnknownEvent, UnreadableEvent
from ...core.events import Record
from ...core.upcast import decode
from ..connection import connect_once, translated
from ..rebuild.shadow import Shadow, find_live
from ..rebuild.source import Share, windows
from ..statements import statement
from .projection import Batch, Projection, ProjectionUnfit

TIMEOUT = 600.0
POLL = 0.25
"""Seconds between two looks for what was archived."""

MAX_PAUSE = 5.0

log = structlog.get_logger("millstream.own")


class VersionDiffers(MillstreamError):
    """The tables of a projection are of another version than its code."""


class Runner:
    """Keeps projections up to date. Several processes may run the same: each event counts once."""

    def __init__(self, dsn: str, projections: Sequence[Projection]) -> None:
        self._dsn = dsn
        self._projections = projections
        self._writer: Any = None
        self._reader: Any = None
        self._shadow: Shadow | None = None
        self._at = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop` is set, whatever becomes of the server.

        Raises VersionDiffers, and ProjectionUnfit if its tables cannot be made.
        """
        log.info("serving", projections=[one.name for one in self._projections])
        pause = POLL
        try:
            while not stop.is_set():
                try:
                    moved = await self.advance()
                    pause = 0 if moved else POLL
                except (VersionDiffers, ProjectionUnfit):
                    raise
                except Exception as error:
                    reason = f"{type(error).__name__}: {error}"
                    log.warning("own.waits", projection=self._at, reason=reason)
                    self.close()
                    pause = min(max(POLL, pause * 2), MAX_PAUSE)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause or 0.001)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connections up."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.terminate()
        self._writer = self._reader = None

    async def advance(self) -> bool:
        """Apply what is archived and was not applied yet; whether there was any."""
        if self._writer is None:
            self._writer = await connect_once(self._dsn, timeout=TIMEOUT, role="own projections")
            self._reader = await connect_once(self._dsn, timeout=TIMEOUT, role="own projections")
            self._shadow = Shadow(await find_live(self._writer))
            for projection in self._projections:
                await install(self._writer, projection)
        moved = False
        for projection in self._projections:
            self._at = projection.name
            with translated():
                await self._writer.execute(statement("begin_projection"), projection.name)
                ends = await self._writer.fetch(statement("projection_ends"), projection.name)
            for partition, seq, until in ends:
                if seq < until:
                    moved = await self._follow(projection, partition, seq, until) or moved
        return moved

    async def _follow(self, projection: Projection, partition: str, seq: int, until: int) -> bool:
        assert self._shadow is not None
        coming = windows(self._reader, self._shadow, partition, seq, until, Share())
        moved = False
        async with contextlib.aclosing(coming):
            async for window in coming:
                step = projection.name, partition, seq, window.seq
                async with self._writer.transaction():
                    if not await self._writer.fetch(statement("take_projection"), *step):
                        return moved  # another process does it
                    await check_version(self._writer, projection)
                    await projection.apply(readable(window.records), self._writer)
                seq, moved = window.seq, True
        return moved


async def install(connection: Any, projection: Projection) -> None:
    """Make a projection's tables, if it never had any. Raises VersionDiffers, ProjectionUnfit."""
    async with connection.transaction():
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"millstream.{projection.name}"
        )
        sql = "SELECT version FROM projections WHERE name = $1"
        if await connection.fetchval(sql, projection.name) is None:
            try:
                await connection.execute(projection.tables)
            except SyntaxOrAccessError as error:
                what = f"{type(projection).__name__}.tables"
                raise ProjectionUnfit(f"{what}: PostgreSQL refuses this SQL: {error}") from error
            await connection.execute(
                "INSERT INTO projections (name, version) VALUES ($1, $2)",
                projection.name,
                projection.version,
            )
    await check_version(connection, projection)


async def check_version(connection: Any, projection: Projection) -> None:
    """Raises VersionDiffers."""
    sql = "SELECT version FROM projections WHERE name = $1"
    found = await connection.fetchval(sql, projection.name)
    if found != projection.version:
        raise VersionDiffers(
            f"projection {projection.name}: its tables are of version {found}, its code makes"
            f" version {projection.version}: run `millstream rebuild --projection"
            f" {projection.name}`, with the same --app"
        )


def readable(records: Sequence[Record]) -> Batch:
    """The records with their events; those that this release cannot read are left out."""
    found: list[Any] = []
    for record in records:
        with contextlib.suppress(UnknownEvent, UnreadableEvent):
            found.append((record, decode(record)))
    return found

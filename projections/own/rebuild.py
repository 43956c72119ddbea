"""Rebuilds the tables of a user's projection: beside those that serve, compared, put in place."""

from typing import Any

from ...core.errors import MillstreamError
from ..connection import translated
from ..rebuild.compare import Comparison, compare
from ..rebuild.course import Differs, Step, Tell, take_lock
from ..rebuild.kept import hold_retention
from ..rebuild.shadow import OldKept, Shadow
from ..rebuild.shard import Hands, hands
from ..rebuild.source import Share, windows
from ..statements import statement
from .projection import Projection
from .runner import readable


class NotRun(MillstreamError):
    """The projection has no tables yet."""


class OwnCourse:
    """One rebuild of one projection; resumable, as that of the built-in tables.

    Raises Unavailable, LogGap, Busy, OldKept, Differs, NotRun, and what `apply` raises.
    """

    def __init__(self, dsn: str, projection: Projection, tell: Tell, *, accept: bool) -> None:
        self._dsn = dsn
        self._projection = projection
        self._tell = tell
        self._accept = accept
        self._hands: Hands
        self._shadow: Shadow

    async def run(self) -> Comparison:
        """Do all that is left to do; what the comparison gave."""
        async with hands(self._dsn, self._projection.name) as found:
            self._hands, self._shadow = found, found.shadow
            with translated():
                await take_lock(found.keeper, found.shadow)
                await hold_retention(found.keeper)
                resumed = await found.shadow.exists(found.reader)
                if not resumed:
                    await self._create()
            await self._fold(await self._ends(found.reader), self._tell, resumed=resumed)
            comparison = await self._swap()
            self._tell(Step("done", comparison=comparison))
            return comparison

    async def _create(self) -> None:
        shadow, writer = self._shadow, self._hands.writer
        if await shadow.old_kept(self._hands.reader):
            raise OldKept(
                f"the tables from before the last rebuild are still kept, in schema {shadow.old}:"
                f" run `millstream rebuild --projection {self._projection.name} --drop-old`"
            )
        async with writer.transaction():
            await writer.execute(f"CREATE SCHEMA {shadow.name}")
            await writer.execute(self._projection.tables)
            await writer.execute(shadow.sql("rebuild_progress"))

    async def _ends(self, connection: Any) -> dict[str, int]:
        """Partition → how far the projection has it."""
        with translated():
            rows = await connection.fetch(statement("projection_ends"), self._projection.name)
        if not rows:
            raise NotRun(
                f"projection {self._projection.name} was never run here: `millstream project`"
                " makes its tables, over all history"
            )
        return {row["partition"]: row["seq"] for row in rows}

    async def _fold(self, ends: dict[str, int], tell: Tell, *, resumed: bool = False) -> None:
        writer, total, done = self._hands.writer, sum(ends.values()), 0
        tell(Step("fold", 0, total, resumed))
        for partition, until in ends.items():
            await writer.execute(statement("add_rebuild"), partition)
            seq = await writer.fetchval(
                "SELECT seq FROM rebuild_progress WHERE partition = $1", partition
            )
            done += seq
            coming = windows(self._hands.reader, self._shadow, partition, seq, until, Share())
            async for window in coming:
                async with writer.transaction():
                    step = partition, 0, seq, window.seq, None
                    await writer.fetch(statement("move_rebuild"), *step)
                    await self._projection.apply(readable(window.records), writer)
                done, seq = done + window.seq - seq, window.seq
                tell(Step("fold", done, total, resumed))

    async def _swap(self) -> Comparison:
        """Stop this projection, fold what is left, compare, and rename."""
        keeper, live, name = self._hands.keeper, self._shadow.live, self._projection.name
        self._tell(Step("compare"))
        with translated():
            async with keeper.transaction():
                await keeper.execute(f"LOCK TABLE {live}.projection_checkpoints IN EXCLUSIVE MODE")
                await self._fold(await self._ends(keeper), lambda step: None)
                version = await keeper.fetchval(self._shadow.sql("projection_version"), name)
                comparison = Comparison(0, 0, [])
                if version == self._projection.version:
                    tables = [
                        row["name"]
                        for row in await keeper.fetch(
                            self._shadow.sql("shadow_tables"), self._shadow.name
                        )
                    ]
                    comparison = await compare(keeper, self._hands.reader, self._shadow, tables)
                    if comparison.different and not self._accept:
                        raise Differs(comparison)
                self._tell(Step("swap"))
                await self._shadow.swap(keeper)
                await keeper.execute(
                    self._shadow.sql("note_rebuilt"), name, self._projection.version
                )
        return comparison

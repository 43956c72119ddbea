"""The course of a rebuild: fold the archive, index, catch up, compare, swap; resumable anywhere.

What is done is in the shadow itself, so a rebuild that was killed goes on where it was: with the
stride it was in, or with the comparison.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec

from ...core import config
from ...core.config import Settings
from ...core.errors import MillstreamError, Unavailable
from ...core.ready import LIFELINE_FD
from ..connection import translated
from ..fold import VERSION
from ..statements import statement
from .compare import Comparison, compare
from .kept import Trusted, hold_retention, keep_beyond_archive
from .shadow import TABLES, Shadow
from .shard import Hands, hands, stage
from .source import Share
from .strides import Strides

NAME = "tables"
"""Of the built-in projection."""

LOCK_PATIENCE = "2s"
"""How long a swap waits for readers of the tables before it lets others pass and tries again."""

TRIES = 30
NEAR = 5000
"""Events behind the live tables at which a rebuild has caught up: a swap folds that many."""


class Busy(MillstreamError):
    """Another rebuild runs."""


class RebuildFailed(MillstreamError):
    """A process of the rebuild failed."""


class Differs(MillstreamError):
    """The rebuilt tables are not what the live ones are, though the same release made both."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        super().__init__(
            f"{comparison.different} rows of the rebuilt tables differ from the live ones."
            " The live tables serve on; the rebuilt ones are kept. Run it again with --accept to"
            " put them in place, or with --abandon to drop them"
        )


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rebuild does now.

    phase     fold, index, catch_up, compare, swap, done
    resumed   it goes on with what an earlier one has left
    events    folded of `total`, so far
    trusted   when it is done: what was not made of events, but taken over from the live tables
    """

    phase: str
    events: int = 0
    total: int = 0
    resumed: bool = False
    comparison: Comparison | None = None
    trusted: list[Trusted] = []


Tell = Callable[[Step], None]


class Course:
    """One rebuild of the built-in tables. Raises Unavailable, LogGap, Busy, OldKept, Differs."""

    def __init__(self, settings: Settings, tell: Tell, *, processes: int, accept: bool) -> None:
        self._settings = settings
        self._tell = tell
        self._processes = processes
        self._accept = accept
        self._strides: dict[str, Strides] = {}
        self._hands: Hands
        self._shadow: Shadow

    async def run(self) -> Step:
        """Do all that is left to do; what the last step tells."""
        async with hands(self._settings.postgres_dsn) as found:
            self._hands, self._shadow = found, found.shadow
            with translated():
                await take_lock(found.keeper, found.shadow)
                await hold_retention(found.keeper)
                resumed = await found.shadow.exists(found.reader)
                if not resumed:
                    await found.shadow.create(found.reader, self._processes)
            await stage(found.writer)
            await self._fold(resumed=resumed)
            trusted = await keep_beyond_archive(found.reader, found.shadow)
            self._tell(Step("index"))
            with translated():
                await found.shadow.index(found.maker, found.keeper)
            await self._catch_up()
            comparison = await self._compare()
            if comparison.different and not self._accept and await self._same_version():
                raise Differs(comparison)
            await self._swap()
            done = Step("done", comparison=comparison, trusted=trusted)
            self._tell(done)
            return done

    async def _fold(self, *, resumed: bool) -> None:
        """Have the shards fold up to where the rebuild began."""
        with translated():
            row = await self._hands.reader.fetchrow(self._shadow.sql("rebuild_state"))
        shards, total = row["shards"] or 1, row["total"] or 0
        # Each shard counts all events of the windows it reads.
        done = row["done"] or 0
        self._tell(Step("fold", done // shards, total // shards, resumed))

        def folded(events: int) -> None:
            nonlocal done
            done += events
            self._tell(Step("fold", done // shards, total // shards, resumed))

        if done < total:
            await run_shards(self._settings, shards, folded)
        with translated():
            await self._hands.reader.execute(self._shadow.sql("join_shards"))

    async def _catch_up(self) -> None:
        """Fold what was archived meanwhile, until nearly nothing is left."""
        while True:
            ends = await self._ends(self._hands.reader)
            behind = 0
            for partition, seq in ends.items():
                behind += seq - (await self._strides_of(partition)).seq
            self._tell(Step("catch_up", 0, behind))
            if behind <= NEAR:
                return
            await self._advance(ends)

    async def _advance(self, ends: dict[str, int]) -> None:
        for partition, seq in ends.items():
            await (await self._strides_of(partition)).run(seq)

    async def _strides_of(self, partition: str) -> Strides:
        known = self._strides.get(partition)
        if known is None:
            with translated():
                await self._hands.writer.execute(statement("add_rebuild"), partition)
            known = self._strides[partition] = self._hands.strides(partition, Share())
            await known.open()
        return known

    async def _ends(self, connection: Any) -> dict[str, int]:
        """Partition → how far the live tables have it."""
        with translated():
            return dict(await connection.fetch(self._shadow.sql("projected_ends")))

    async def _compare(self) -> Comparison:
        """Compare at one instant of the live tables, which are written on meanwhile."""
        self._tell(Step("compare"))
        keeper = self._hands.keeper
        snapshot = keeper.transaction(isolation="repeatable_read", readonly=True)
        with translated():
            await snapshot.start()
        try:
            await self._advance(await self._ends(keeper))
            return await compare(keeper, self._hands.reader, self._shadow, TABLES)
        finally:
            if not keeper.is_closed():
                with translated():
                    await snapshot.rollback()

    async def _same_version(self) -> bool:
        with translated():
            found = await self._hands.reader.fetchval(self._shadow.sql("projection_version"), NAME)
        return found == VERSION

    async def _swap(self) -> None:
        """Stop the projector for a moment, fold what is left, and rename."""
        self._tell(Step("swap"))
        for _ in range(TRIES):
            await self._advance(await self._ends(self._hands.reader))
            try:
                with translated():
                    await self._swap_now()
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(1)
            else:
                return
        raise Unavailable(
            f"somebody read the tables without a pause of {LOCK_PATIENCE} in {TRIES} tries to put"
            " the rebuilt ones in their place: run it again when there are no long queries"
        )

    async def _swap_now(self) -> None:
        live, keeper = self._shadow.live, self._hands.keeper
        async with keeper.transaction():
            await keeper.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
            # Whoever projects moves a checkpoint first, so all of them wait here.
            await keeper.execute(f"LOCK TABLE {live}.checkpoints IN EXCLUSIVE MODE")
            await self._advance(await self._ends(keeper))
            await self._shadow.match_days(self._hands.maker)
            await self._shadow.swap(keeper)
            await keeper.execute(self._shadow.sql("note_rebuilt"), NAME, VERSION)


async def take_lock(connection: Any, shadow: Shadow) -> None:
    """Hold off other rebuilds for as long as the connection is open. Raises Busy."""
    key = f"{shadow.name}.rebuild"
    sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
    if not await connection.fetchval(sql, key):
        raise Busy(f"another rebuild runs in this database (schema {shadow.name})")


async def run_shards(settings: Settings, shards: int, folded: Callable[[int], None]) -> None:
    """Run the processes that fold, to their end. Raises RebuildFailed."""
    lifeline, held = os.pipe()
    environ = {**os.environ, **config.as_environ(settings), LIFELINE_FD: str(lifeline)}
    running: list[asyncio.subprocess.Process] = []
    try:
        for shard in range(shards):
            command = (sys.executable, "-m", f"{__package__}.shard", str(shard), str(shards))
            running.append(
                await asyncio.create_subprocess_exec(
                    *command,
                    env=environ,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    pass_fds=(lifeline,),
                )
            )
        codes = await asyncio.gather(*(_follow(process, folded) for process in running))
    finally:
        os.close(lifeline)
        os.close(held)
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if any(codes):
        raise RebuildFailed(
            "a process that folds the archive ended before its work was done (see its words"
            " above). What was folded is kept: run `millstream rebuild` again to go on"
        )


async def _follow(process: asyncio.subprocess.Process, folded: Callable[[int], None]) -> int:
    assert process.stdout is not None
    async for line in process.stdout:
        folded(int(line))
    return await process.wait()

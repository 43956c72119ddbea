"""The process that folds one share of all jobs up to where the rebuild began.

    python -m millstream.projections.rebuild.shard SHARD SHARDS

Its settings are in the environment; it tells on stdout, one number a line, how many events were
folded since the last line. Ends by itself when whoever started it does.
"""

import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple

import uvloop

from ...core import config, logs, ready
from ...core.errors import MillstreamError
from ..connection import connect_once, translated
from ..service import tune_collector
from ..statements import statement
from .shadow import Shadow, find_live
from .source import Share
from .strides import Strides

STATEMENT_TIMEOUT = 600.0
"""Seconds a statement of a rebuild may take."""


class Hands(NamedTuple):
    """The connections of one process of a rebuild.

    writer  its path is the shadow alone; reader: of the archive; maker: of partitions, while the
            others are busy; keeper: holds locks and snapshots
    """

    shadow: Shadow
    writer: Any
    reader: Any
    maker: Any
    keeper: Any

    def strides(
        self, partition: str, share: Share, told: Callable[[int], None] = lambda events: None
    ) -> Strides:
        """What moves a partition of the shadow on."""

        async def make_days(days: Sequence[int]) -> None:
            await self.shadow.add_days(self.maker, days)

        return Strides(self.writer, self.reader, self.shadow, partition, share, make_days, told)


@contextlib.asynccontextmanager
async def hands(dsn: str, projection: str = "") -> AsyncGenerator[Hands]:
    """Connect, for the built-in tables or a user's projection; given up at once at the end.

    Raises Unavailable.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def connect(**settings: str) -> Any:
            connection = await connect_once(
                dsn, timeout=STATEMENT_TIMEOUT, role="rebuild", **settings
            )
            stack.callback(connection.terminate)
            return connection

        reader, maker, keeper = await connect(), await connect(), await connect()
        with translated():
            shadow = Shadow(await find_live(reader), projection)
        writer = await connect(**_writing(shadow, projection))
        yield Hands(shadow, writer, reader, maker, keeper)


def _writing(shadow: Shadow, projection: str) -> dict[str, str]:
    """Settings of the connection that fills the shadow."""
    # What is lost with a crash of the server is folded again.
    settings = {"synchronous_commit": "off"}
    if projection:
        return settings | {"search_path": f"{shadow.name}, {shadow.live}"}
    # Every statement finds its rows by key, as the projector's do.
    plain = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off")
    return settings | plain | {"search_path": shadow.name}


async def stage(connection: Any) -> None:
    """Make where changed jobs are put before they are written; the shadow must be there."""
    with translated():
        await connection.execute(statement("stage_jobs"))


async def fold_share(dsn: str, share: Share, told: Callable[[int], None]) -> None:
    """Fold the share of every partition up to where the rebuild began."""
    async with hands(dsn) as found:
        await stage(found.writer)
        with translated():
            rows = await found.reader.fetch(found.shadow.sql("shard_progress"), *share)
        for partition, until in rows:
            strides = found.strides(partition, share, told)
            await strides.open()
            await strides.run(until)


def _tell(events: int) -> None:
    print(events, flush=True)  # noqa: T201


def main() -> None:
    """Fold the share that the command line names."""
    settings = config.load()
    logs.configure(settings.log_level, settings.log_format, role="rebuild")
    ready.follow_supervisor()
    tune_collector()
    share = Share(int(sys.argv[1]), int(sys.argv[2]))
    try:
        uvloop.run(fold_share(settings.postgres_dsn, share, _tell))
    except MillstreamError as error:
        sys.exit(f"shard {share.shard} of {share.shards}: {error}")


if __name__ == "__main__":
    main()

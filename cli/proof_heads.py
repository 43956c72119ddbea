"""`millstream proof-heads`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import rich_click as click

from ..core.config import Settings
from ..core.errors import UnknownQueue
from . import options
from .output import print_line


@click.command("proof-heads")
@click.option("--queue", "queues", multiple=True, help="Only these queues; default: all.")
@click.option("--after", default=0, type=click.IntRange(0), help="Only heads after this number.")
@click.option(
    "--leaves",
    is_flag=True,
    help="With the hash of each event, by which verify-export names the one that was altered.",
)
@options.data_option
def command(queues: tuple[str, ...], after: int, data: Path | None, *, leaves: bool) -> None:
    """The signed heads of the archive as JSON lines, oldest first, queue by queue.

    \b
    millstream proof-heads --leaves > heads.jsonl
    """
    with options.connected(options.load(), data) as settings:
        asyncio.run(_tell(settings, queues, after, leaves=leaves))


async def _tell(settings: Settings, queues: tuple[str, ...], after: int, *, leaves: bool) -> None:
    from ..core.proof.heads import line_of
    from ..projections import queries
    from ..projections.proof.seals import seals

    pool = await queries.connect(settings)
    try:
        known = await queries.checkpoints(pool)
        for queue in set(queues).difference(known):
            raise UnknownQueue(queue, known)
        for queue in queues or sorted(known):
            async for signed in seals(pool, queue, after, leaves=leaves):
                print_line(msgspec.json.encode(line_of(signed)))
    finally:
        pool.terminate()

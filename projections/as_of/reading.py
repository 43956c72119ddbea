"""The log up to an instant: from the archive, and what is not archived yet from the stream."""

from collections.abc import AsyncGenerator
from typing import Any

import asyncpg

from ...core.errors import Behind
from ...core.events import Record
from ...core.log import START, LogReader
from ..connection import translated
from ..queries import Checkpoint
from ..rows import read_record
from ..statements import statement

END = 2**63 - 1
"""The instant after all others."""

MOST_TAIL = 20_000
"""Events not archived yet that are read for one answer."""

PAGE = 500


async def tail(
    reader: LogReader, partition: str, after: Checkpoint | None, until: int
) -> AsyncGenerator[Record]:
    """The events of a partition from its checkpoint on, up to `until`; of a log that was lost none:
    what it holds may contradict the archive, and a restore tells what of it counts."""
    entry, seq = (START, 0) if after is None else (after.entry, after.seq)
    if time_of_entry(entry) > until or (await reader.head(partition)).lost is not None:
        return
    stop = "+" if until == END else str(until)
    told = 0
    while found := await reader.range(partition, f"({entry}", stop, PAGE):
        for record in found:
            if record.seq != seq + 1:
                # Either it was archived and cut off since the checkpoint was read, or it is lost.
                raise Behind(f"log of {partition}: expected seq {seq + 1}, got: seq {record.seq}")
            seq = record.seq
            yield record
        entry, told = found[-1].entry, told + len(found)
        if told >= MOST_TAIL:
            raise Behind(f"more than {MOST_TAIL} events of {partition} are not archived yet")


def time_of_entry(entry: str) -> int:
    """The time of a stream id."""
    return int(entry.partition("-")[0])


async def fetch_records(pool: asyncpg.Pool, name: str, *args: Any) -> list[Record]:
    """The rows of the archive that a statement finds."""
    with translated():
        rows = await pool.fetch(statement(name), *args)
    return [read_record(row) for row in rows]

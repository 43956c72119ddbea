"""The archive of one partition, window by window, for one shard of a rebuild."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from ...core.errors import LogGap
from ...core.events import Record
from ..connection import translated
from .absent import Absent, absent_events
from .shadow import Shadow

WINDOW = 20_000
"""Events read at once; a shard folds its share of them."""

_record = msgspec.json.Decoder(Record).decode


class Share(NamedTuple):
    """Which jobs a shard folds: those whose id says `shard` of `shards`."""

    shard: int = 0
    shards: int = 1

    def has(self, job: str) -> bool:
        """Whether a job is in it, as archive_window.sql says too; what is no id is in the first."""
        try:
            byte = int(job[28:30], 16)
        except ValueError:
            byte = 0
        return byte % self.shards == self.shard


class Epoch(NamedTuple):
    """The archived events of one epoch: the first and the last seq."""

    epoch: int
    first: int
    last: int


class Span(NamedTuple):
    """Events of one epoch after one seq up to another, and how many there must be."""

    epoch: int
    after: int
    until: int
    events: int


class Window(NamedTuple):
    """What a shard folds of the events up to `seq`; `events`: how many there are of all shards."""

    seq: int
    events: int
    records: list[Record]


async def epochs(connection: Any, shadow: Shadow, partition: str) -> list[Epoch]:
    """The epochs of a partition that the archive has events of."""
    with translated():
        rows = await connection.fetch(shadow.sql("archive_epochs"), partition)
    return [Epoch(*row) for row in rows]


async def windows(
    connection: Any, shadow: Shadow, partition: str, after: int, until: int, share: Share
) -> AsyncGenerator[Window]:
    """The events of a partition after one seq up to another, in order; reads one window ahead.

    The connection is the generator's own while it runs. Raises LogGap where the archive lacks
    events, unless they were declared to be nowhere, or dropped for their age.
    """
    absent = await absent_events(connection, partition, after, until)
    found = await epochs(connection, shadow, partition)
    spans = list(_spans(partition, found, after, until, absent))
    coming: asyncio.Task[Window] | None = None
    try:
        for at in range(len(spans)):
            if coming is None:
                coming = asyncio.create_task(_read(connection, shadow, partition, spans[at], share))
            window = await coming
            coming = None
            if at + 1 < len(spans):
                coming = asyncio.create_task(
                    _read(connection, shadow, partition, spans[at + 1], share)
                )
            yield window
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming


def _spans(
    partition: str, found: list[Epoch], after: int, until: int, absent: Absent
) -> Iterator[Span]:
    """What to read one after another: parts of epochs, of `WINDOW` events at most.

    Seqs go on from one epoch to the next. Raises LogGap where they do not, for no known reason.
    """
    for epoch, first, last in found:
        if last <= after or after >= until:
            continue
        before = min(first - 1, until)
        if before > after:
            if absent.count(after, before) < before - after:
                raise LogGap(partition, after + 1, first)
            after = before
        while after < min(last, until):
            end = min(after + WINDOW, last, until)
            yield Span(epoch, after, end, end - after - absent.count(after, end))
            after = end
    if after < until:
        if absent.count(after, until) < until - after:
            raise LogGap(partition, after + 1, None)
        yield Span(0, after, until, 0)  # so that whoever reads stands behind them


async def _read(
    connection: Any, shadow: Shadow, partition: str, span: Span, share: Share
) -> Window:
    epoch, after, end, expected = span
    with translated():
        rows = await connection.fetch(
            shadow.sql("archive_window"), partition, epoch, after, end, *share
        )
        count = len(rows)
        if share.shards > 1:
            counting = shadow.sql("archive_count")
            count = await connection.fetchval(counting, partition, epoch, after, end)
    if count != expected:
        raise LogGap(partition, after + 1, None)
    records = [
        Record(partition, seq, epoch, type, job or "", version, body, time, entry)
        if raw is None
        else _record(raw)
        for seq, type, job, version, body, time, entry, raw in rows
    ]
    if share.shards > 1:
        records = [record for record in records if share.has(record.job)]
    return Window(end, count, records)

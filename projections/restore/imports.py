"""Brings archived events back into PostgreSQL, from whatever can tell them in order.

They are folded and written as the projector does it, so tables and archive are one afterwards, and
the projector goes on in the log behind the last of them.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ...core.errors import MillstreamError
from ...core.events import Record
from ...core.log import check_contiguous
from ..fold import fold, needed
from ..lane import Lane
from ..past import Past
from ..tables import Step, Tables

BATCH = 5000


class ImportUnfit(MillstreamError):
    """What is to be imported does not go on where the archive ends."""


class Importer:
    """Writes events of any partitions behind what the archive has of each."""

    def __init__(self, dsn: str) -> None:
        self._tables = Tables(dsn)
        self._past = Past(dsn)
        self._lanes: dict[str, Lane] = {}

    def close(self) -> None:
        """Give the connections up."""
        self._tables.close()
        self._past.close()

    async def take(self, records: Iterable[Record]) -> int:
        """Write those that the archive does not have yet; how many that were.

        The records of each partition in their order. Raises Unavailable, LogGap, ImportUnfit,
        Unstorable, Corrupt.
        """
        count = 0
        for (partition, epoch), group in itertools.groupby(records, _log_of):
            for batch in _batches(group):
                lane = await self._lane(partition, epoch)
                fresh = [record for record in batch if record.seq > lane.seq]
                if fresh:
                    await self._write(lane, fresh)
                    count += len(fresh)
        return count

    async def _lane(self, partition: str, epoch: int) -> Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            await self._past.begin(partition, epoch)
            (lane,) = await self._past.lanes([partition], 0)
        if lane.epoch < epoch:
            await self._past.begin_epoch(lane, epoch)
            (lane,) = await self._past.lanes([partition], 0)
        self._lanes[partition] = lane
        return lane

    async def _write(self, lane: Lane, records: list[Record]) -> None:
        if records[0].epoch != lane.epoch:
            raise ImportUnfit(
                f"{records[0].position}: expected events of epoch {lane.epoch}, where the archive"
                f" of {lane.partition} ends"
            )
        check_contiguous(records, lane.seq)
        wanted = needed(records, lane.parked)
        previous = await self._past.jobs(wanted)
        effect = fold(records, previous, lane.parked)
        last = records[-1]
        step = Step(lane.partition, lane.epoch, lane.seq, last.seq, last.entry)
        if not await self._tables.apply(effect, step):
            raise ImportUnfit(f"a projector is at work on {lane.partition}: stop it for the import")
        lane.advance(effect)
        lane.commit(last.seq, last.entry)


def _log_of(record: Record) -> tuple[str, int]:
    return record.partition, record.epoch


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(itertools.islice(records, BATCH)):
        yield batch


class _Line(msgspec.Struct):
    """An event as a line of JSON: the envelope, and the body as it is."""

    partition: str
    seq: int
    epoch: int
    type: str
    job: str
    version: int
    time: int
    entry: str
    body: msgspec.Raw


_line = msgspec.json.Decoder(_Line).decode


def read_lines(path: Path) -> Iterator[Record]:
    """The events of a file of JSON lines, in constant memory. Raises ImportUnfit."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                one = _line(line)
            except msgspec.MsgspecError as error:
                raise ImportUnfit(
                    f"{path}, line {number}: expected an event as JSON, got: {error}"
                ) from error
            yield Record(
                one.partition, one.seq, one.epoch, one.type, one.job, one.version,
                bytes(one.body), one.time, one.entry,
            )  # fmt: skip


def line_of(record: Record) -> dict[str, Any]:
    """What `read_lines` reads as that record."""
    told: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__}
    return told | {"body": msgspec.Raw(record.body)}

"""Brings exported events back into PostgreSQL, archive and tables.

They are folded and written as the projector does it, so tables and archive are one afterwards, and
the projector goes on in the log behind the last of them.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ...core.errors import MillstreamError
from ...core.events import Command, Record
from ...core.export import MANIFEST, ExportDamaged, Gap, load, read_export
from ...core.log import START
from ..effect import Effect
from ..fold import fold, is_job_id, needed
from ..lane import Lane
from ..past import Past
from ..tables import Step, Tables

BATCH = 5000


class ImportUnfit(MillstreamError):
    """What is to be imported does not go on where the archive ends."""


class Importer:
    """Writes events of any partitions behind what the archive has of each.

    by  declares events that are in neither archive nor export to be nowhere; None: it ends there
    """

    def __init__(self, dsn: str, by: Command | None = None) -> None:
        self._tables = Tables(dsn)
        self._past = Past(dsn)
        self._by = by
        self._lanes: dict[str, Lane] = {}
        self._pruned: dict[str, bool] = {}

    def close(self) -> None:
        """Give the connections up."""
        self._tables.close()
        self._past.close()

    async def take_export(
        self, folder: Path, queue: str | None = None, seen: Callable[[int], None] = lambda _: None
    ) -> int:
        """Write the events of an export that the archive does not have yet; how many that were.

        `seen` is told how many more were looked at, also of those that it has. Raises
        ExportDamaged, and what `take` raises.
        """
        manifest = load(folder)
        if manifest is None:
            raise ExportDamaged(f"{folder}: expected a {MANIFEST}, got none")
        count = 0
        for each in manifest.queues:
            if queue is None or each.queue == queue:
                count += await self.take(read_export(folder, each.queue), each.gaps, seen)
                await self._pass_last(each.queue, each.until_seq, each.gaps)
        return count

    async def take(
        self,
        records: Iterable[Record],
        gaps: Sequence[Gap] = (),
        seen: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Write those that the archive does not have yet; how many that were.

        The records of each partition in their order; `gaps`: what their export says is missing.
        Raises Unavailable, ImportUnfit, Unstorable, Corrupt.
        """
        count = 0
        for (partition, epoch), group in itertools.groupby(records, _log_of):
            for batch in _batches(group):
                lane = await self._lane(partition, epoch)
                fresh = [record for record in batch if record.seq > lane.seq]
                if fresh:
                    await self._write(await self._behind(lane, fresh[0], gaps), fresh)
                    count += len(fresh)
                seen(len(batch))
        return count

    async def _lane(self, partition: str, epoch: int) -> Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            await self._past.begin(partition, epoch)
            lane = await self._loaded(partition)
        if lane.epoch < epoch:
            await self._past.begin_epoch(lane, epoch)
            lane = await self._loaded(partition)
        return lane

    async def _loaded(self, partition: str) -> Lane:
        (lane,) = await self._past.lanes([partition], 0)
        self._lanes[partition] = lane
        self._pruned[partition] = await self._past.begins_late(partition)
        return lane

    async def _behind(self, lane: Lane, record: Record, gaps: Sequence[Gap]) -> Lane:
        """The lane where `record` comes next: moved over what is missing before, if that is known
        to be nowhere."""
        if record.epoch != lane.epoch:
            raise ImportUnfit(
                f"{record.position}: expected events of epoch {lane.epoch}, where the archive"
                f" of {lane.partition} ends"
            )
        if record.seq == lane.seq + 1:
            return lane
        return await self._pass(lane, record.seq - 1, gaps)

    async def _pass_last(self, partition: str, until: int, gaps: Sequence[Gap]) -> None:
        lane = self._lanes.get(partition)
        if lane is not None and any(gap.before_seq == until + 1 > lane.seq + 1 for gap in gaps):
            await self._pass(lane, until, gaps)

    async def _pass(self, lane: Lane, last: int, gaps: Sequence[Gap]) -> Lane:
        place = lane.partition, lane.epoch, lane.seq
        told = any(gap.dropped and gap.after_seq <= lane.seq and last < gap.before_seq
                   for gap in gaps)  # fmt: skip
        if told:
            done = await self._past.pass_dropped(*place, last)
        elif self._by is not None:
            done = await self._past.declare(*place, last, START, self._by)
        else:
            raise ImportUnfit(
                f"{lane.partition}: expected seq {lane.seq + 1}, where the archive ends, got seq"
                f" {last + 1}: import first what has the events between. If nothing has them, run"
                " this again with --declare-gaps"
            )
        if not done:
            raise _busy(lane)
        return await self._loaded(lane.partition)

    async def _write(self, lane: Lane, records: list[Record]) -> None:
        effect = await self._folded(lane, records)
        last = records[-1]
        step = Step(lane.partition, lane.epoch, lane.seq, last.seq, last.entry)
        if not await self._tables.apply(effect, step):
            raise _busy(lane)
        lane.advance(effect)
        lane.commit(last.seq, last.entry)

    async def _folded(self, lane: Lane, records: list[Record]) -> Effect:
        wanted = needed(records, lane.parked)
        previous, places = await self._past.jobs(wanted), lane.places(records)
        if not self._pruned[lane.partition]:
            return fold(records, previous, lane.parked, noted=places)
        # Of jobs that retention dropped some later events may be left: they are archived alone.
        gone = set(filter(is_job_id, wanted)) - previous.keys()
        known = [one for one in records if one.job not in gone]
        effect = fold(known, previous, lane.parked, noted=places)
        effect.records = records
        return effect


def _busy(lane: Lane) -> ImportUnfit:
    return ImportUnfit(f"a projector is at work on {lane.partition}: stop it for the import")


def _log_of(record: Record) -> tuple[str, int]:
    return record.partition, record.epoch


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Batches of records without gaps between them."""
    batch: list[Record] = []
    for record in records:
        if batch and (len(batch) == BATCH or record.seq != batch[-1].seq + 1):
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch

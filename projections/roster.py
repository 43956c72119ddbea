"""Which partitions are projected: finds new ones, halts and resumes, and trims behind."""

import time
from collections.abc import Iterable, Mapping

import structlog

from ..core.config import Settings
from ..core.errors import LogGap, LogLost, MillstreamError
from ..core.events import QueueRestored
from ..core.log import START, LogReader
from ..core.queue import Directory
from .lane import Lane
from .past import Past
from .tables import Step

LOOK_EVERY = 0.25
"""Seconds between two looks for partitions that are new or may be tried again."""

RETRY_HALTED = 2.0
STAND_BACK = 0.5

log = structlog.get_logger("millstream.projector")


class EpochChanged(MillstreamError):
    """The log is of another epoch than the tables: one of the two was restored."""

    def __init__(self, partition: str, expected: int, found: int) -> None:
        super().__init__(f"log of {partition}: expected epoch {expected}, got: epoch {found}")


class Roster:
    """The lanes of all partitions, and what is remembered of those that have trouble."""

    def __init__(
        self, settings: Settings, reader: LogReader, directory: Directory, past: Past
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._directory = directory
        self._past = past
        self._lanes: dict[str, Lane] = {}
        self._resting: dict[str, float] = {}
        self._halts: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self._refused: dict[str, dict[int, str]] = {}
        self._look_at = self._heads_at = self._trim_at = 0.0
        self._projected: list[str] = []

    def due(self) -> bool:
        """Whether it is time to `refresh`."""
        return time.monotonic() >= self._look_at

    def get(self, partition: str) -> Lane | None:
        """The lane of a partition; None while it is halted, rests, or is not known."""
        return self._lanes.get(partition)

    def readable(self) -> list[Lane]:
        """All lanes that go on."""
        return list(self._lanes.values())

    def limit(self, partition: str) -> int:
        """Most records of the next batch: fewer while an event is sought that cannot be stored."""
        return self._limits.get(partition, self._settings.projector_batch)

    def refused(self, partition: str) -> Mapping[int, str]:
        """Events (seq → why) that the database does not take."""
        return self._refused.get(partition, {})

    def clear(self) -> None:
        """Forget all lanes; the next `refresh` loads them from their checkpoints."""
        self._lanes.clear()
        self._look_at = 0.0

    async def refresh(self) -> None:
        """Load lanes that are new or may be tried again; now and then look at the ends of logs."""
        now = time.monotonic()
        self._look_at = now + LOOK_EVERY
        names = await self._names(now)
        fresh = [
            name for name in names if name not in self._lanes and self._resting.get(name, 0) <= now
        ]
        if fresh:
            await self._load(fresh)
        looked_at = fresh
        if now >= self._heads_at:
            self._heads_at = now + self._settings.sweep
            looked_at = list(self._lanes)
        for name in looked_at:
            await self._compare(self._lanes[name])
        for name in fresh:
            await self._check_history(name)

    async def _names(self, now: float) -> list[str]:
        """All partitions there are, or that the tables say there were: Redis may have lost some."""
        if now >= self._heads_at:
            self._projected = await self._past.partitions()
        return sorted({*await self._directory.partitions(), *self._projected})

    async def _load(self, names: list[str]) -> None:
        margin = self._settings.log_margin
        lanes = await self._past.lanes(names, margin)
        begun = {lane.partition for lane in lanes}
        missing = [name for name in names if name not in begun]
        for name in missing:
            await self._past.begin(name, (await self._reader.head(name)).epoch)
        if missing:
            lanes += await self._past.lanes(missing, margin)
        self._lanes.update((lane.partition, lane) for lane in lanes)

    async def _compare(self, lane: Lane) -> None:
        """Halt a lane that is ahead of its log, or of another epoch."""
        head = await self._reader.head(lane.partition)
        if head.lost is not None:
            # It is not told so a second time: it may have been restored since it was asked.
            await self._past.note_loss(lane, head.lost)
            await self._give_up(lane, head.lost)
        elif head.epoch > lane.epoch and await self._goes_on(lane, head.epoch):
            await self._past.begin_epoch(lane, head.epoch)
            self._drop(lane, 0)
            log.warning("projector.new_epoch", partition=lane.partition, epoch=head.epoch)
        elif head.epoch > lane.epoch:
            await self.halt(lane, str(EpochChanged(lane.partition, lane.epoch, head.epoch)))
        elif (head.epoch, head.seq) < (lane.epoch, lane.seq):
            reason = (
                f"the log of {lane.partition} has gone back: expected at least seq {lane.seq} of"
                f" epoch {lane.epoch}, got: seq {head.seq} of epoch {head.epoch}"
            )
            await self.condemn(lane, reason)
        elif head.seq == lane.stored and lane.halted is not None:
            await self._past.halt(lane, None)
            lane.halted = None
            self._resumed(lane)
        else:
            lane.expected = head.seq

    async def _check_history(self, partition: str) -> None:
        """Halt a lane whose last archived event is another one in the log.

        A server that took over with less than the archive has, and by a clock that is behind, gives
        events of its own up to that place: who reads on after it would miss them, and see no gap.
        """
        lane = self._lanes.get(partition)
        if lane is None or lane.seq == 0 or lane.entry == START:
            return
        if await self._reader.range(partition, lane.entry, lane.entry, count=1):
            return
        for first in await self._reader.range(partition, count=1):
            if (first.epoch, first.seq) <= (lane.epoch, lane.seq):  # else it was cut off there
                reason = (
                    f"the log of {partition} has gone back: it has no entry {lane.entry}, which was"
                    f" archived as seq {lane.seq} of epoch {lane.epoch}"
                )
                await self.condemn(lane, reason)

    async def _goes_on(self, lane: Lane, epoch: int) -> bool:
        """Whether a log of a later epoch begins where the tables end: it was restored to that."""
        for record in await self._reader.range(lane.partition, count=1):
            place = record.epoch, record.seq, record.type
            return place == (epoch, lane.stored + 1, QueueRestored.name)
        return False

    async def condemn(self, lane: Lane, reason: str) -> None:
        """Halt the partition itself, too: its log was lost, or has gone back behind the archive.

        What was appended to it since would be numbered twice; `millstream restore` mends that.
        """
        await self._past.note_loss(lane, reason)
        await self._directory.queue(lane.partition).condemn(reason)
        await self._give_up(lane, reason)

    async def _give_up(self, lane: Lane, reason: str) -> None:
        """Halt a lane whose log is lost."""
        await self._directory.register(lane.partition)  # that, too, may have been lost
        await self.halt(lane, f"{reason}. Nothing is accepted before `millstream restore`")

    async def missed(self, lanes: Iterable[Lane]) -> None:
        """Note that a read found nothing in these: halts one whose log said there is more."""
        for lane in lanes:
            if lane.expected > lane.seq:
                await self.halt(lane, str(LogGap(lane.partition, lane.seq + 1, None)))

    async def halt(self, lane: Lane, reason: str) -> None:
        """Stop projecting a partition; it is tried again, should somebody mend it."""
        self._drop(lane, RETRY_HALTED)
        if self._halts.get(lane.partition) != reason:
            self._halts[lane.partition] = reason
            log.error(
                "ALARM projector.halted: this partition is not projected until it is mended",
                partition=lane.partition,
                epoch=lane.epoch,
                seq=lane.stored,
                reason=reason,
            )
        await self._past.halt(lane, reason)

    def stand_back(self, lane: Lane) -> None:
        """Leave a partition to the other projector that has it, for a while."""
        self._drop(lane, STAND_BACK)
        log.debug("projector.stands_back", partition=lane.partition, seq=lane.stored)

    def refuse(self, lane: Lane, step: Step, reason: str) -> None:
        """Close in on the event that cannot be stored: halve the batch, at last park the event.

        A batch of one gets a second try, since a partition of the table may just have been made.
        """
        self._drop(lane, 0)
        size = step.new_seq - step.old_seq
        if size == 1 and self._limits.get(lane.partition) == 1:
            self._refused.setdefault(lane.partition, {})[step.new_seq] = reason
            log.error(
                "ALARM projector.parks: the database does not take an event",
                partition=lane.partition,
                seq=step.new_seq,
                reason=reason,
            )
        self._limits[lane.partition] = max(1, size // 2)

    def commit(self, lane: Lane, step: Step) -> None:
        """A batch is in the tables."""
        lane.commit(step.new_seq, step.entry)
        name = lane.partition
        if name in self._halts:
            self._resumed(lane)
        limit = self._limits.pop(name, None)
        if limit is not None and limit * 2 < self._settings.projector_batch:
            self._limits[name] = limit * 2
        refused = self._refused.get(name)
        if refused:
            self._refused[name] = {seq: why for seq, why in refused.items() if seq > step.new_seq}

    async def trim(self, *, urgent: bool) -> None:
        """Tell the logs how far the archive is, and cut them off; rarely unless `urgent`."""
        now = time.monotonic()
        if not urgent and now < self._trim_at:
            return
        self._trim_at = now + LOOK_EVERY
        for lane in self.readable():
            if lane.untold:
                entry = lane.cut(self._settings.log_margin)
                queue = self._directory.queue(lane.partition)
                try:
                    await queue.trim(lane.stored, lane.epoch, entry)
                except LogLost as error:
                    await self.condemn(lane, str(error).removeprefix("LOGLOST "))

    def _drop(self, lane: Lane, rest: float) -> None:
        if self._lanes.get(lane.partition) is lane:
            del self._lanes[lane.partition]
        self._resting[lane.partition] = time.monotonic() + rest
        self._look_at = min(self._look_at, self._resting[lane.partition])

    def _resumed(self, lane: Lane) -> None:
        self._halts.pop(lane.partition, None)
        log.info("projector.resumed", partition=lane.partition, seq=lane.stored)

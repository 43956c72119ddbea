"""The projector's loop: read the logs, fold each partition's batch, write it, trim behind.

While one batch is being written the next is read and folded on top of it. If the write turns out
not to have been done, that next one is dropped, and its partition begins again at its checkpoint.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import structlog

from ..core.config import Settings
from ..core.errors import LogGap, MillstreamError
from ..core.events import Record
from ..core.log import LogReader, check_contiguous
from ..core.queue import Directory
from .effect import Effect
from .fold import fold, needed
from .lane import Lane
from .past import Past
from .roster import EpochChanged, Roster
from .tables import Corrupt, Step, Tables, Unstorable

BLOCK_MS = 250
"""How long a read waits when there is nothing: a bound on noticing new partitions, and the stop."""

LEAST_SHARE = 256
"""Records read of each partition at a time, however many partitions have a backlog."""

MAX_BACKOFF = 5.0
GREET_EVERY = 5.0
"""Seconds after which a projector that has nothing to do shows that it is there."""

log = structlog.get_logger("millstream.projector")


class Projector:
    """Projects all partitions of one namespace. `on_ready` is called once both servers answered."""

    def __init__(
        self,
        settings: Settings,
        reader: LogReader,
        directory: Directory,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._directory = directory
        self._on_ready = on_ready
        self._tables = Tables(settings.postgres_dsn)
        self._past = Past(settings.postgres_dsn)
        self._roster = Roster(settings, reader, directory, self._past)
        self._writing: asyncio.Task[bool] | None = None
        self._written: tuple[Lane, Step] | None = None
        self._busy = 1
        self._tidied = self._greeted = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set, whatever becomes of the servers; ends between batches."""
        failures = 0
        try:
            while not stop.is_set():
                try:
                    await self._turn()
                    failures = 0
                except MillstreamError as error:
                    failures += 1
                    log.warning("projector.waits", reason=str(error), failures=failures)
                except Exception:
                    failures += 1
                    log.exception("projector.failed", failures=failures)
                if failures:
                    await self._start_over()
                    await _pause(stop, failures)
        finally:
            await self._start_over()
            self._tables.close()
            self._past.close()

    async def _turn(self) -> None:
        if self._roster.due():
            if time.monotonic() - self._tidied > 3600:
                await self._settle()
                await self._tables.make_partitions_ahead()
                self._tidied = time.monotonic()
            if time.monotonic() - self._greeted > GREET_EVERY:
                await self._past.greet()
                self._greeted = time.monotonic()
            await self._roster.refresh()
            self._on_ready()
        found = await self._read()
        for partition, records in found.items():
            lane = self._roster.get(partition)
            if lane is not None:
                await self._project(lane, records)
        if self._writing is not None and (not found or self._writing.done()):
            await self._settle()
        await self._roster.trim(urgent=not found)

    async def _read(self) -> dict[str, list[Record]]:
        lanes = self._roster.readable()
        if not lanes:
            await asyncio.sleep(BLOCK_MS / 1000)
            return {}
        count = max(LEAST_SHARE, self._settings.projector_batch // self._busy)
        after = {lane.partition: lane.entry for lane in lanes}
        # With a write under way there is no wait: its end is the next thing to see to.
        block = BLOCK_MS if self._writing is None else None
        found = await self._reader.read(after, count, block)
        self._busy = max(1, len(found))
        await self._roster.missed(lane for lane in lanes if lane.partition not in found)
        return found

    async def _project(self, lane: Lane, records: list[Record]) -> None:
        records = records[: self._roster.limit(lane.partition)]
        try:
            _check_epoch(lane, records)
            check_contiguous(records, lane.seq)
        except (LogGap, EpochChanged) as error:
            await self._settle()
            if records[0].seq <= lane.seq:  # told again: not a gap, the log has gone back
                reason = f"the log of {lane.partition} has gone back: {error}"
                await self._roster.condemn(lane, reason)
            else:
                await self._roster.halt(lane, str(error))
            return
        effect = await self._folded(lane, records)
        await self._settle()
        if self._roster.get(lane.partition) is lane:
            self._write(lane, effect)

    async def _folded(self, lane: Lane, records: list[Record]) -> Effect:
        wanted = needed(records, lane.parked)
        previous = lane.known(wanted)
        if len(previous) < len(wanted):
            previous |= await self._past.jobs(wanted - previous.keys())
        refused = self._roster.refused(lane.partition)
        return fold(records, previous, lane.parked, refused, lane.places(records))

    def _write(self, lane: Lane, effect: Effect) -> None:
        last = effect.records[-1]
        step = Step(lane.partition, lane.epoch, lane.seq, last.seq, last.entry)
        lane.advance(effect)
        self._written = lane, step
        self._writing = asyncio.create_task(self._tables.apply(effect, step))

    async def _settle(self) -> None:
        """Wait for the write under way, and take note of what became of it."""
        if self._writing is None or self._written is None:
            return
        task, (lane, step) = self._writing, self._written
        self._writing = self._written = None
        try:
            won = await task
        except Unstorable as error:
            self._roster.refuse(lane, step, str(error))
        except Corrupt as error:
            await self._roster.halt(lane, str(error))
        else:
            if won:
                self._roster.commit(lane, step)
            else:
                self._roster.stand_back(lane)

    async def _start_over(self) -> None:
        """Forget all that is not committed; the checkpoints tell where to go on."""
        try:
            await self._settle()
        except Exception as error:
            log.warning("projector.write_lost", reason=str(error))
        self._roster.clear()


def _check_epoch(lane: Lane, records: list[Record]) -> None:
    for record in records:
        if record.epoch != lane.epoch:
            raise EpochChanged(lane.partition, lane.epoch, record.epoch)


async def _pause(stop: asyncio.Event, failures: int) -> None:
    wait = min(MAX_BACKOFF, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), wait)

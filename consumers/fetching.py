"""Fetching work: claims what free slots can take, and waits when there is none."""

import asyncio
import heapq
import math
import random
import time
from collections.abc import Callable

import structlog

from ..core.errors import GroupLost, MillstreamError
from ..core.hot import Lease
from ..core.queue import MAX_BATCH, Claim, PartitionQueue
from .attempts import Attempt
from .bells import Bells
from .maintenance import mend, sweep_pause
from .slots import Slots
from .stats import Stats
from .turns import Turns

_log = structlog.stdlib.get_logger("millstream.worker")

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0

LONGEST_IDLE = 1.0
"""Seconds after which the loop goes round whatever it waits for, which shows that it can."""


class Source:
    """One partition the worker serves, and what is known of its work.

    backlog   the last claim gave as much as it asked for
    recover   a claim's reply may have been lost: ask first for what is held already
    at        when to look again (`time.monotonic`): the next due job, the sweep, the end of a pause
    """

    __slots__ = ("at", "backlog", "pause", "queue", "recover")

    def __init__(self, queue: PartitionQueue) -> None:
        self.queue = queue
        self.backlog = False
        self.recover = False
        self.at = math.inf
        self.pause = FIRST_PAUSE


class Fetcher:
    """The fetch loop of a worker over its partitions, each in its turn, by weight.

    `start` is given the attempts of each claim. A periodic look at every partition is the truth;
    bells and known due times only make it fast.
    """

    def __init__(
        self,
        worker: str,
        slots: Slots,
        start: Callable[[list[Attempt]], None],
        stats: Stats,
        *,
        batch: int,
        sweep: float,
    ) -> None:
        self._worker = worker
        self._slots = slots
        self._start = start
        self._stats = stats
        # Half of the slots at most, so that the next claim is on its way while these jobs run;
        # and with a backlog at least a quarter, since small claims cost as much as large ones.
        self._most = min(batch, MAX_BATCH, max(1, slots.limit // 2))
        self._least = max(1, min(batch, MAX_BATCH, slots.limit // 4))
        self._sweep = sweep
        self._alarms: list[tuple[float, str]] = []  # heap; one is void once its source has another
        self._sources: dict[str, Source] = {}
        self._hot = Turns()  # the sources that may have work
        self._woken: asyncio.Future[None] | None = None
        self._stopping = False
        self.bells: Bells | None = None

    def add(self, queue: PartitionQueue, weight: int = 1) -> None:
        """Serve one more partition."""
        source = self._sources[queue.partition] = Source(queue)
        self._hot.add(queue.partition, weight)
        self._heat(source)

    def rung(self, partition: str) -> None:
        """A bell's token was taken: claim, or hand it on if there is no room."""
        source = self._sources[partition]
        if self._slots.free > 0:
            self._heat(source)
        else:
            asyncio.ensure_future(self._hand_on(source))  # noqa: RUF006 (its loss costs a sweep)

    def stop(self) -> None:
        """Have `run` return after the claim on its way."""
        self._stopping = True
        self._wake()
        self._slots.wake()

    async def run(self) -> None:
        """Fetch until `stop`."""
        while not self._stopping:
            self._stats.progress = time.monotonic()
            if not self._hot:
                await self._idle()
                continue
            # Only a known backlog is worth waiting for more slots.
            first = self._sources[self._hot.first()]
            await self._slots.wait(self._least if first.backlog else 1)
            if self._slots.free > 0 and not self._stopping:
                source = self._sources[self._hot.take()]
                await self._claim(source, min(self._slots.free, self._most))
                self._look_again()

    async def _claim(self, source: Source, limit: int) -> None:
        asked = self._slots.asked
        asked[source.queue.partition] = time.monotonic()
        try:
            if source.recover:
                await self._recover(source)
            self._stats.claims += 1
            claim = await source.queue.claim(self._worker, limit)
        except Exception as error:
            await self._failed(source, error)
        else:
            self._given(source, claim, limit)
        finally:
            del asked[source.queue.partition]

    def _given(self, source: Source, claim: Claim, limit: int) -> None:
        received = time.monotonic()
        source.pause = FIRST_PAUSE
        self._look_later(source, claim, received)
        source.backlog = len(claim.leases) == limit
        self._hot.charge(source.queue.partition, len(claim.leases))
        if source.backlog:
            self._heat(source)
        if claim.leases:
            self._take(claim.leases, received)

    async def _recover(self, source: Source) -> None:
        """Take the jobs of a claim whose reply was lost: held by this worker, and not known."""
        known = {(attempt.lease.id, attempt.lease.fence) for attempt in self._slots.held}
        claim = await source.queue.claim(self._worker, MAX_BATCH, held=True)
        found = [lease for lease in claim.leases if (lease.id, lease.fence) not in known]
        # A full reply may hide others behind those that run: ask again until it is not.
        source.recover = len(claim.leases) == MAX_BATCH
        if found:
            _log.info("jobs recovered", queue=source.queue.partition, count=len(found))
            self._stats.recovered += len(found)
            self._take(found, time.monotonic())

    async def _failed(self, source: Source, error: Exception) -> None:
        source.recover = True
        source.backlog = False
        if isinstance(error, GroupLost):
            await mend(source.queue)
        if isinstance(error, MillstreamError):
            _log.warning("cannot fetch", queue=source.queue.partition, error=str(error))
        else:
            _log.error("cannot fetch", queue=source.queue.partition, exc_info=error)
        self._look_at(source, time.monotonic() + source.pause * random.uniform(0.5, 1))
        source.pause = min(source.pause * 2, LAST_PAUSE)

    def _take(self, leases: list[Lease], since: float) -> None:
        attempts = [Attempt(lease, since) for lease in leases]
        self._stats.claimed += len(attempts)
        self._slots.take(attempts)
        self._start(attempts)

    async def _idle(self) -> None:
        """Wait for a bell, a due job or the sweep, whichever is first."""
        if self._slots.free <= 0:
            await self._slots.wait(1)
        loop = asyncio.get_running_loop()
        self._look_again()
        if self._hot or self._stopping:
            return
        self._woken = loop.create_future()
        pause = self._next_alarm() - time.monotonic()
        timer = loop.call_later(min(max(0.0, pause), LONGEST_IDLE), self._wake)
        if self.bells is not None:
            self.bells.want(True)
        try:
            await self._woken
        finally:
            timer.cancel()
            self._woken = None
            if self.bells is not None:
                self.bells.want(False)
        self._look_again()

    def _look_again(self) -> None:
        """Note which partitions may have work by now."""
        now = time.monotonic()
        while self._next_alarm() <= now:
            _, partition = heapq.heappop(self._alarms)
            self._heat(self._sources[partition])

    def _look_later(self, source: Source, claim: Claim, received: float) -> None:
        """Look at a partition again when its next job is due, and at the next sweep anyway."""
        pause = sweep_pause(self._sweep, len(self._sources))
        at = received + pause * random.uniform(0.75, 1)
        if claim.next_due:
            # Counted from the reply: a little late, never early, and no clock of ours is asked.
            at = min(at, received + (claim.next_due - claim.now) / 1000)
        self._look_at(source, at)

    def _look_at(self, source: Source, at: float) -> None:
        source.at = at
        heapq.heappush(self._alarms, (at, source.queue.partition))

    def _next_alarm(self) -> float:
        alarms = self._alarms
        while alarms and self._sources[alarms[0][1]].at != alarms[0][0]:
            heapq.heappop(alarms)
        return alarms[0][0] if alarms else math.inf

    def _heat(self, source: Source) -> None:
        if self._hot.enter(source.queue.partition):
            source.at = math.inf
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _hand_on(self, source: Source) -> None:
        try:
            await source.queue.ring()
        except Exception as error:
            _log.debug("a bell could not be handed on", error=str(error))

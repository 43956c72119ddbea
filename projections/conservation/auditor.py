"""Goes round all live jobs, some each second, and looks where each of them stands.

A round reads the tables by state and asks Redis of each page; then it looks through the ready
entries. Between the two a job may have ended: what the tables hold is older. So a job without hot
state is only suspected, and is lost if the tables still say that it lives when they have passed
where the log stood then.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import NamedTuple

import structlog

from ...core.config import Settings
from ...core.errors import MillstreamError
from ...core.examining import Examined
from ...core.jobs import LIVE
from ...core.queue import Directory
from ...core.workers import Seen, Workers
from .findings import Found
from .rules import ENDED_TWICE, LOST, OVERDUE, TWICE, Situation, hands_of, stuck
from .store import Row, Store

TURN = 1.0
"""Seconds from one part of a round to the next."""

AT_ONCE = 200
"""Jobs one script looks at: others must get a turn."""

FIRST = "00000000-0000-0000-0000-000000000000"
STATES = sorted(LIVE)

log = structlog.get_logger("millstream.projector")


class Suspect(NamedTuple):
    """A job without hot state: as the tables knew it, and where the log stood then."""

    row: Row
    epoch: int
    seq: int


class Auditor:
    """Audits all partitions of a namespace until it is stopped."""

    def __init__(self, settings: Settings, directory: Directory, workers: Workers) -> None:
        self._settings = settings
        self._directory = directory
        self._workers = workers
        self._store = Store(settings.postgres_dsn)
        self._bound_ms = round(settings.stuck_after * 1000)
        self._idle_ms = round(3 * settings.lease * 1000) + self._bound_ms
        self._found = Found()
        self._suspects: dict[str, Suspect] = {}
        self._moved: dict[str, tuple[str, float]] = {}
        self._serving: list[Seen] = []
        self._told = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Audit until `stop` is set, whatever becomes of the servers."""
        round_ = self.round()
        try:
            while not stop.is_set():
                try:
                    if await self._store.chosen():
                        await self._part(round_)
                except StopAsyncIteration:
                    round_ = self.round()
                except MillstreamError as error:
                    log.debug("auditor.waits", reason=str(error))
                    round_ = self.round()
                except Exception:
                    log.exception("auditor.failed")
                    self._store.close()
                    round_ = self.round()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TURN)
        finally:
            await round_.aclose()
            self._store.close()

    async def _part(self, round_: AsyncGenerator[int]) -> None:
        """Go on with a round until as much was looked at as a second allows."""
        self._serving = await self._workers.all()
        left = self._settings.audit_rate * TURN
        try:
            while left > 0:
                left -= await anext(round_)
        finally:
            await self._store.note(self._found)
            self._tell()

    async def round(self) -> AsyncGenerator[int]:
        """One round over all live jobs; yields how much it looked at each time."""
        self._found.begin_round()
        for state in STATES:
            after = FIRST
            while rows := await self._store.page(state, after, AT_ONCE):
                after = rows[-1].id
                await self._examine(rows)
                yield len(rows)
                if len(rows) < AT_ONCE:
                    break
        yield await self._confirm()
        for partition in await self._directory.partitions():
            self._found.of(partition)
            cursor = None
            while cursor != "":
                cursor = await self._survey(partition, cursor or "")
                yield AT_ONCE // 4
        for partition, job in await self._store.ended_twice():
            self._found.of(partition).add("doubled", job, ENDED_TWICE)
        self._found.end_round()

    async def _examine(self, rows: list[Row]) -> None:
        queues: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            queues[row.queue].append(row)
        for queue, some in queues.items():
            seen = await self._directory.queue(queue).examine([row.id for row in some])
            situation = self._situation(queue, seen)
            tally = self._found.of(queue)
            tally.jobs += len(some)
            for row, place in zip(some, seen.places, strict=True):
                if place.where == "gone":
                    self._suspects.setdefault(row.id, Suspect(row, seen.epoch, seen.seq))
                elif (why := stuck(place, situation, self._bound_ms)) is not None:
                    tally.add("stuck", row.id, why)

    def _situation(self, queue: str, seen: Examined) -> Situation:
        delivered, since = self._moved.get(queue, ("", 0.0))
        now = time.monotonic()
        if delivered != seen.delivered or queue not in self._moved:
            self._moved[queue] = seen.delivered, now
            since = now
        hands = hands_of(queue, self._serving)
        return Situation(seen.now, seen.mode == "paused", hands, round((now - since) * 1000))

    async def _confirm(self) -> int:
        """Which of the suspects are lost; the others have ended, or gone on, or are told later."""
        if not self._suspects:
            return 1
        jobs = list(self._suspects)[: self._settings.audit_rate]
        known = await self._store.known(jobs)
        for job in jobs:
            row, epoch, seq = self._suspects[job]
            at = known.get(job)
            if at is None or at.version != row.version:
                del self._suspects[job]
            elif (at.epoch, at.seq) >= (epoch, seq):
                self._found.of(row.queue).add("lost", job, LOST)
                del self._suspects[job]
        return len(jobs)

    async def _survey(self, partition: str, cursor: str) -> str:
        queue = self._directory.queue(partition)
        seen = await queue.survey(cursor, AT_ONCE, self._idle_ms)
        tally = self._found.of(partition)
        for job in seen.twice:
            tally.add("doubled", job, TWICE)
        if hands_of(partition, self._serving) != "none":
            for job in seen.overdue:
                tally.add("stuck", job, OVERDUE)
        return seen.cursor

    def _tell(self) -> None:
        """Say so when there is more to worry about than before."""
        counts = {"lost": 0, "doubled": 0, "stuck": 0}
        for shown in self._found.shown():
            for kind, count in shown.counts.items():
                counts[kind] += count
        total = sum(counts.values())
        if total > self._told:
            log.error("ALARM conservation: jobs that go nowhere, see /api/v1/audit", **counts)
        self._told = total

"""The typed face of a partition in memory: that of `core.queue`, with Python in place of Lua."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import MillstreamError
from ..events import (
    Command,
    Event,
    JobCheckpointed,
    JobClosed,
    JobDiscarded,
    JobExtended,
    JobSubmitted,
    WorkerStarted,
    WorkerStopped,
    body_of,
)
from ..hot import HotJob
from ..jobs import JobState
from ..keys import Keys
from ..linking import Ended, Extended, Joined, Outcome, Overdue
from ..operating import Mode, Purged, Standing
from ..progressing import Heard, Told
from ..queue import MAX_BATCH, Claim, Finish, PartitionQueue, Redrive
from ..renewing import LeaseRenewer
from ..stepping import Checkpoint, Kept
from ..submitting import NewJob, Receipt
from .clock import Clock
from .linking import Linking
from .maintaining import Maintaining
from .planning import Planning
from .stepping import Stepping

_step = msgspec.json.Decoder(JobCheckpointed).decode
_spec = msgspec.json.Decoder(JobSubmitted).decode
_PLANS = frozenset({"schedule_put", "schedule_pause", "schedule_delete", "schedules_due", "fire"})


class NotInMemory(MillstreamError):
    """A verb that the log in memory does not have."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"expected a verb that a log in memory has, got {verb!r}")


class MemoryPartition(Stepping, Planning, Maintaining, Linking):
    """A partition under all its verbs; pure, and without a server."""


class MemoryQueue(PartitionQueue):
    """A partition that is in this process alone; `rooms` holds all there is of it."""

    __slots__ = ("rooms",)

    def __init__(self, partition: str, clock: Clock) -> None:
        super().__init__(None, partition, Keys())
        self.rooms = MemoryPartition(partition, clock)

    async def submit(self, jobs: Sequence[NewJob], command: str | None = None) -> Receipt:
        """As `PartitionQueue.submit`."""
        return self.rooms.submit(jobs, command or uuid.uuid4().hex)

    async def claim(self, worker: str, limit: int, *, held: bool = False) -> Claim:
        """As `PartitionQueue.claim`."""
        return self.rooms.claim(worker, limit if held else min(limit, MAX_BATCH), held=held)

    async def finish(self, verdicts: Sequence[Finish]) -> list[bool]:
        """As `PartitionQueue.finish`."""
        before = self.rooms.links.notices
        accepted = self.rooms.finish(verdicts)
        if self.on_awaited is not None and self.rooms.links.notices > before:
            self.on_awaited(self.partition)
        return accepted

    async def reap(self, lease_ms: int, max_crashes: int, limit: int = 200) -> tuple[int, bool]:
        """As `PartitionQueue.reap`."""
        return self.rooms.reap(lease_ms, max_crashes, limit)

    async def promote(self, limit: int = MAX_BATCH) -> tuple[int, int]:
        """As `PartitionQueue.promote`."""
        return self.rooms.promote(limit)

    async def cancel(self, ids: Sequence[str], by: Command) -> list[str]:
        """As `PartitionQueue.cancel`."""
        return self.rooms.cancel(ids, body_of(by))

    async def redrive(self, jobs: Sequence[Redrive], by: Command) -> list[str]:
        """As `PartitionQueue.redrive`."""
        return self.rooms.redrive(jobs, body_of(by))

    async def discard(self, jobs: Sequence[tuple[str, int]], by: JobDiscarded) -> list[str]:
        """As `PartitionQueue.discard`."""
        return self.rooms.discard(jobs, body_of(by))

    async def reschedule(self, ids: Sequence[str], due: int | str, by: Command) -> list[str]:
        """As `PartitionQueue.reschedule`."""
        return self.rooms.reschedule(ids, due, _told(by))

    async def configure(self, by: Event, bounds: Mapping[str, str]) -> None:
        """As `PartitionQueue.configure`."""
        self.rooms.configure(body_of(by), bounds)

    async def limits(self) -> dict[str, str]:
        """As `PartitionQueue.limits`."""
        return dict(self.rooms.gates.limits)

    async def set_mode(self, mode: Mode, by: Command) -> bool:
        """As `PartitionQueue.set_mode`."""
        return self.rooms.set_mode(mode, _told(by))

    async def inspect(self) -> Standing:
        """As `PartitionQueue.inspect`."""
        return self.rooms.inspect()

    async def mend(self) -> int:
        """As `PartitionQueue.mend`."""
        return self.rooms.mend()

    async def announce(
        self, event: WorkerStarted | WorkerStopped, types: Mapping[str, Any] | None = None
    ) -> None:
        """As `PartitionQueue.announce`."""
        self.rooms.announce(event, types or {})

    async def trim(self, archived: int, epoch: int, entry: str = "") -> int:
        """As `PartitionQueue.trim`, but nothing is cut off."""
        return self.rooms.trim(archived, epoch)

    async def checkpoint(self, steps: Sequence[Checkpoint]) -> list[Kept]:
        """As `PartitionQueue.checkpoint`."""
        return self.rooms.checkpoint(steps)

    async def progress(self, reports: Sequence[Told]) -> list[Heard]:
        """As `PartitionQueue.progress`."""
        return self.rooms.progress(reports)

    async def lose(self, workers: Sequence[str]) -> list[bool]:
        """As `PartitionQueue.lose`."""
        return self.rooms.lose(workers)

    async def serving(self) -> set[str]:
        """As `PartitionQueue.serving`."""
        return set(self.rooms.serving)

    async def steps(self, job: str) -> frozenset[str]:
        """As `PartitionQueue.steps`."""
        found = self.rooms.jobs.live.get(job)
        return frozenset() if found is None else frozenset(found.steps)

    async def step(self, job: str, name: str) -> JobCheckpointed | None:
        """As `PartitionQueue.step`."""
        found = self.rooms.jobs.live.get(job)
        raw = None if found is None else found.steps.get(name)
        return None if raw is None else _step(raw)

    async def job(self, job: str) -> HotJob | None:
        """As `PartitionQueue.job`: a claim alone changes nothing of it."""
        found = self.rooms.jobs.live.get(job)
        if found is None:
            return None
        claimed = found.state is JobState.RUNNING and found.version == found.fence
        return HotJob(
            id=job,
            state=JobState.QUEUED if claimed else found.state,
            version=found.version - claimed,
            attempt=found.tries,
            crashes=found.crashes,
            cancel_requested=found.cancel,
            spec=_spec(found.body),
            depends=found.depends,
        )

    async def watch(self, pairs: Iterable[tuple[str, str]], *, ended: bool = False) -> list[bool]:
        """As `PartitionQueue.watch`."""
        return self.rooms.watch(pairs, ended=ended)

    async def collect(self, limit: int, idle_ms: int = 0) -> list[Ended]:
        """As `PartitionQueue.collect`."""
        return self.rooms.collect(limit, idle_ms)

    async def is_open(self, job: str) -> bool:
        """As `PartitionQueue.is_open`."""
        return self.rooms.links.is_open(job)

    async def settle(self, entries: Sequence[str]) -> None:
        """As `PartitionQueue.settle`."""
        self.rooms.links.settle(entries)

    async def overdue(
        self, long_ms: int, jobs: int, parents: int, *, look_ms: int, seen: Sequence[str] = ()
    ) -> list[Overdue]:
        """As `PartitionQueue.overdue`."""
        return self.rooms.overdue(long_ms, jobs, parents, look_ms, seen)

    async def outbox(self) -> int:
        """As `PartitionQueue.outbox`."""
        return len(self.rooms.links.outbox)

    async def join(self, news: Mapping[str, Sequence[tuple[str, Outcome]]]) -> Joined:
        """As `PartitionQueue.join`."""
        return self.rooms.join(news)

    async def extend(
        self,
        job: str,
        parents: Sequence[str],
        ended: Mapping[str, Outcome],
        close: JobClosed | None = None,
    ) -> Extended:
        """As `PartitionQueue.extend`."""
        body = body_of(JobExtended(list(parents))) if parents else b""
        return self.rooms.extend(job, parents, ended, body, body_of(close) if close else b"")

    async def ring(self) -> None:
        """As `PartitionQueue.ring`."""
        self.rooms.bell = True

    async def _purge(
        self, by: Command, cursor: str, states: Collection[JobState], limit: int, *, dry: bool
    ) -> Purged:
        return self.rooms.purge(states, cursor, limit, _told(by), dry=dry)

    async def _run(self, verb: str, args: list[Any]) -> Any:
        """The verbs of schedules, whose typed face calls them by their names."""
        if verb not in _PLANS:
            raise NotInMemory(verb)
        return getattr(self.rooms, verb)(*args)


class MemoryRenewer(LeaseRenewer):
    """The verbs for threads."""

    def __init__(self, queues: Mapping[str, MemoryQueue], worker: str) -> None:
        super().__init__(None, Keys(), worker)
        self._queues = queues

    def renew(self, partition: str, leases: Sequence[tuple[str, int]]) -> list[int]:
        """As `LeaseRenewer.renew`."""
        return self._queues[partition].rooms.renew(self._worker, leases)

    def renew_all(self, partition: str) -> None:
        """As `LeaseRenewer.renew_all`."""
        self._queues[partition].rooms.renew_all(self._worker)

    def finish(self, partition: str, verdicts: Sequence[Finish]) -> list[bool]:
        """As `LeaseRenewer.finish`."""
        return self._queues[partition].rooms.finish(verdicts)


def _told(by: Command) -> bytes:
    """Who and why, whatever event the command is."""
    return body_of(Command(by.actor, by.reason))

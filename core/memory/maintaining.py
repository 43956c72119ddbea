"""The verbs of maintenance: promote, reap, mend, trim, announce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codec import encode
from ..errors import GroupLost, LogLost
from ..events import WorkerStarted, WorkerStopped, body_of
from .clock import Clock
from .jobs import Live
from .lanes import Entry
from .log import EPOCH, said
from .partition import Partition

MOST_QUIETS = 3
"""How often in a row leases are given another one: see reap.lua."""


class Maintaining(Partition):
    """What is done to a partition so that nothing is left lying."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(name, clock)
        self.archived = 0
        self.lost_ever = False
        self.types: dict[str, bytes] = {}
        self.serving: set[str] = set()
        self.swept: int | None = None
        self.quiet_until = self.quiets = 0

    def promote(self, limit: int) -> tuple[int, int]:
        """How many were promoted, and when the next is due (ms; 0: none).

        Besides, whoever waits at a gate with room is let in.
        """
        before = self.log.seq
        promoted = self.promote_due(limit)
        self.let_in_anywhere(limit, limit)
        self.bell = self.bell or self.log.seq > before
        return promoted, self.next_due()

    def reap(self, lease_ms: int, budget: int, limit: int, away_ms: int = 0) -> tuple[int, bool]:
        """Take back leases silent for so long, `limit` in each lane.

        None for another lease after nobody swept for more than `away_ms` (0: that does not matter).
        """
        reaped, more, before = 0, False, self.log.seq
        if away_ms and self._quiet(lease_ms, away_ms):
            return 0, False
        for _, lane in self.lanes.in_order():
            if lane.lost:
                raise GroupLost
            silent = lane.silent(self.now, lease_ms)[:limit]
            for entry in silent:
                self._expire(entry, budget)
            reaped += len(silent)
            more = more or len(silent) == limit
        self.bell = self.bell or self.log.seq > before
        return reaped, more

    def _quiet(self, lease_ms: int, away_ms: int) -> bool:
        """Note a sweep; whether leases are left alone, since nobody could renew them."""
        passed = None if self.swept is None else self.now - self.swept
        if passed is None or passed > away_ms / 4:
            self.swept = self.now
        if (passed is None or passed > away_ms) and self.quiets < MOST_QUIETS:
            self.quiet_until, self.quiets = self.now + lease_ms, self.quiets + 1
            return True
        if self.now < self.quiet_until <= self.now + lease_ms:
            return True
        self.quiet_until = self.quiets = 0
        return False

    def _expire(self, entry: Entry, budget: int) -> None:
        job = self.jobs.live[entry.job]
        self.lanes.leave(job.priority, job.id)
        job.crashes += 1
        self.append("job.lease_expired", job, said(worker=entry.owner, crashes=job.crashes))
        if job.cancel:
            self.cancel_after(job)
        elif job.crashes >= budget:
            self.fail(job, "poison", ran=True)
        else:
            self.enter(job)

    def lose_group(self, priority: int) -> None:
        """No verb: the server lost a consumer group."""
        self.lanes.lanes[priority].lose()
        self.lost_ever = True

    def mend(self) -> int:
        """Lost groups are made again; jobs that were given in their lanes enter anew."""
        moved = 0
        for _, lane in self.lanes.in_order():
            if lane.lost:
                lane.lost, self.bell = False, True
                given = [entry.job for entry in lane.entries if entry.given]
                for id in given:
                    self._take_back(self.jobs.live[id])
                moved += len(given)
        return moved

    def _take_back(self, job: Live) -> None:
        self.lanes.leave(job.priority, job.id)
        if job.cancel:
            self.cancel_after(job)
        else:
            self.append("job.queued", job, said(cause="group_lost"))
            self.enter(job)

    def trim(self, archived: int, epoch: int) -> int:
        """Note how far the archive is; it never goes back, and is never ahead of the log.

        Nothing is cut off: a log in memory is as short as a test.
        """
        if epoch != EPOCH:
            return -1
        archived = max(archived, self.archived)
        if archived > self.log.seq:
            raise LogLost(
                f"the log has gone back to seq {self.log.seq} of epoch {EPOCH},"
                f" archived is seq {archived}"
            )
        self.archived = archived
        self.jobs.archived(archived, self.now)
        return 0

    def announce(self, event: WorkerStarted | WorkerStopped, types: Mapping[str, Any]) -> None:
        """A worker comes or goes; its leases stay. `types`: name → defaults."""
        self.tell(event.name, body_of(event))
        if isinstance(event, WorkerStarted):
            self.serving.add(event.worker)
        else:
            self.serving.discard(event.worker)
        self.types.update({name: encode(defaults) for name, defaults in types.items()})

    def lose(self, workers: Sequence[str]) -> list[bool]:
        """Workers are gone without a word: per worker, whether nobody had said so yet."""
        return [self._lose(worker) for worker in workers]

    def _lose(self, worker: str) -> bool:
        if worker not in self.serving:
            return False
        self.serving.discard(worker)
        self.tell("worker.lost", said(worker=worker))
        return True

"""Verbs of those who submit jobs, and think better of it: submit, cancel, redrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.errors import IdTaken, QueueDraining
from millstream.core.jobs import JobState

from .commands import Ended, New, Twin
from .jobs import Live
from .locks import Held, Lock
from .log import Fact, says
from .partition import Partition

ONCE_MINUTES = 10
"""How long a submission is remembered by its command id."""


class Submitting(Partition):
    """`once`: command id → minute, and what was answered: seq of the first, and duplicates."""

    def __init__(self) -> None:
        super().__init__()
        self._past = False
        """Whether a job of this call is due already."""
        self.once: dict[str, tuple[int, int, list[Twin]]] = {}

    def submit(self, command: str, jobs: Sequence[New]) -> tuple[int, bool, list[Twin]]:
        """All or none: (seq of the first, whether this command was done before, duplicates).

        First all are submitted that find their lock free, then the others become duplicates, then
        what is due already is promoted: no more than were submitted, who waited longer goes first.
        """
        if command in self.once and self.clock - self.once[command][0] < ONCE_MINUTES:
            _, first, twins = self.once[command]
            self.once[command] = self.clock, first, twins
            return first, True, twins
        self._refuse_draining()
        ids = [job.id for job in jobs]
        if len(set(ids)) < len(ids) or self.jobs.live.keys() & set(ids):
            raise IdTaken
        first, self._past = self.log.seq + 1, False
        taken = [(number, new) for number, new in enumerate(jobs) if not self._accept(new)]
        twins = [self._settle(number, new) for number, new in taken]
        if self._past:
            self.bell = self.promote_due(len(jobs)) > 0 or self.bell
        self.once[command] = self.clock, first, twins
        return first, False, twins

    def _refuse_draining(self) -> None:
        if self.mode == "draining":
            raise QueueDraining

    def _accept(self, new: New) -> bool:
        """One job, unless its lock is taken."""
        if new.lock and self._holder(new.lock):
            return False
        job = Live(new.id, new.priority, new.body, JobState.QUEUED, expires=new.expires)
        self.jobs.live[job.id] = job
        self.log.append(Fact("job.submitted", job.id, 1, says(new.body)))
        if new.lock:
            self.locks.take(new.lock, job.id, self.log.seq, self.clock)
            job.lock = None if new.lock.scope == "period" else new.lock.digest
        self._place(job, new)
        return True

    def _place(self, job: Live, new: New) -> None:
        at = new.run_at if new.delay is None else self.now.later(new.delay)
        if at is None:
            self.enter(job)
            self.bell = True
        else:
            self.wait(job, JobState.SCHEDULED, at)
            self._past = self._past or at <= self.now

    def _holder(self, lock: Lock) -> Held | None:
        """Who stands for a job with this lock."""
        held = self.locks.get(lock.digest, self.clock)
        job = held and self.jobs.live.get(held.job)
        if lock.scope == "period":
            return held
        if not job or (lock.scope == "waiting" and job.state is JobState.RUNNING):
            return None
        return held

    def _settle(self, number: int, new: New) -> Twin:
        """A job whose lock was taken: a duplicate of who holds it, maybe with this spec now."""
        lock = new.lock
        assert lock is not None
        held = self._holder(lock)
        assert held is not None
        job = self.jobs.live.get(held.job)
        if job and lock.replace and job.state is not JobState.RUNNING:
            self.append("job.replaced", job, says(new.body))
            held = held._replace(seq=self.log.seq)
            self.locks.held[lock.digest] = held
            self._replace(job, new)
        return Twin(number, held.job, held.seq, job and job.state)

    def _replace(self, job: Live, new: New) -> None:
        """A waiting job is given another spec: fresh attempts, at its new place."""
        self.withdraw(job)
        self.leave_gates(job)
        job.priority, job.body, job.expires = new.priority, new.body, new.expires
        job.tries = job.crashes = 0
        self._place(job, new)

    def cancel(self, ids: Sequence[str], by: dict[str, Any]) -> list[str]:
        """A waiting job ends at once; of a running one that is requested, once."""
        return [self._cancel(id, by) for id in ids]

    def _cancel(self, id: str, by: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.cancel:
            return "pending"
        if job.state is JobState.RUNNING:
            job.cancel = True
            self.append("job.cancel_requested", job, by)
            return "requested"
        self.append("job.cancelled", job, by)
        self.withdraw(job)
        self.end(job)
        return "cancelled"

    def redrive(self, jobs: Sequence[Ended], by: dict[str, Any]) -> list[str]:
        """What has ended runs again from the start, and does not expire any more."""
        self._refuse_draining()
        return [self._redrive(job, by) for job in jobs]

    def _redrive(self, ended: Ended, by: dict[str, Any]) -> str:
        id, priority, version, spec = ended
        if id in self.jobs.live:
            return "live"
        if self.jobs.last_version(id, self.clock) not in (None, version):
            return "stale"
        self.jobs.gone.pop(id, None)
        job = Live(id, priority, spec, JobState.QUEUED, version=version, redriven=True)
        self.jobs.live[id] = job
        self.append("job.redriven", job, by)
        self.enter(job)
        self.bell = True
        return "queued"

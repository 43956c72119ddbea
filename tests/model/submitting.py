"""The verb submit: jobs, and the locks by which one stands for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from millstream.core.errors import IdTaken, QueueDraining
from millstream.core.jobs import JobState

from .due import Instant
from .gates import Gate
from .jobs import Live
from .locks import Held, Lock
from .log import Fact, says
from .partition import Partition
from .passing import AT_ONCE

ONCE_MINUTES = 10
"""How long a submission is remembered by its command id."""


class New(NamedTuple):
    """A job to submit. `delay` in minutes; `expires`: the minute; `locks` it asks for, in order."""

    id: str
    priority: int
    body: bytes
    delay: int | None = None
    run_at: Instant | None = None
    expires: int | None = None
    locks: tuple[Lock, ...] = ()


class Twin(NamedTuple):
    """A job that was not made: its number, who stands for it, that one's spec and its state."""

    number: int
    id: str
    seq: int
    state: JobState | None


class Accepted(NamedTuple):
    """Seq of the first job made, whether the command was done before, and who was not made."""

    first: int
    again: bool
    twins: tuple[Twin, ...] = ()


class Submitting(Partition):
    """Submissions, and what is remembered of them."""

    def __init__(self) -> None:
        super().__init__()
        self.once: dict[str, tuple[int, Accepted]] = {}
        self._past = False

    def submit(self, command: str, jobs: Sequence[New]) -> Accepted:
        """All or none.

        All jobs are made before any is replaced, and only then others are let in where those have
        left, and those promoted that are due already. No more are promoted than were submitted:
        who waited longer goes first. A command that is sent again is remembered longer.
        """
        minute, seen = self.once.get(command, (0, None))
        if seen and self.clock - minute < ONCE_MINUTES:
            self.once[command] = self.clock, seen
            return seen._replace(again=True)
        self._check(jobs)
        first, self._past = self.log.seq + 1, False
        refused = [(n, taken) for n, new in enumerate(jobs) if (taken := self._accept(new))]
        freed: list[Gate] = []
        twins = [self._settle(n, jobs[n], lock, freed) for n, lock in refused]
        for gate in freed:
            self.let_in(gate, AT_ONCE)
        if self._past and self.promote_due(len(jobs)):
            self.bell = True
        accepted = Accepted(first, False, tuple(twins))
        self.once[command] = self.clock, accepted
        return accepted

    def _check(self, jobs: Sequence[New]) -> None:
        if self.mode == "draining":
            raise QueueDraining("default")
        ids = {job.id for job in jobs}
        if len(ids) < len(jobs) or self.jobs.live.keys() & ids:
            raise IdTaken

    def _accept(self, new: New) -> Lock | None:
        """Make one job; or the first of its locks that is taken."""
        live = self.jobs.live
        for lock in new.locks:
            if self.locks.holder(lock, live, self.clock):
                return lock
        job = Live(new.id, new.priority, new.body, JobState.QUEUED, expires=new.expires)
        job.locked = any(lock.scope != "period" for lock in new.locks)
        self.log.append(Fact("job.submitted", job.id, 1, says(new.body)))
        for lock in new.locks:
            self.locks.take(lock, job.id, self.log.seq, self.clock)
        live[job.id] = job
        self._begin(job, new)
        return None

    def _begin(self, job: Live, new: New) -> None:
        """The job may run, or waits for its time."""
        self.jobs.specs[job.id] = new.body
        at = new.run_at if new.delay is None else self.now.later(new.delay)
        if at is None:
            self.enter(job)
            self.bell = True
        else:
            self.wait(job, JobState.SCHEDULED, at)
            self._past = self._past or at <= self.now

    def _settle(self, number: int, new: New, lock: Lock, freed: list[Gate]) -> Twin:
        """Another job stands for this one; a waiting one may be given its spec."""
        held = self.locks.holder(lock, self.jobs.live, self.clock)
        assert held
        job = self.jobs.live.get(held.id)
        if lock.replace and job and job.state is not JobState.RUNNING:
            freed += self._replace(job, new)
            held = Held(job.id, self.log.seq, held.until)
            self.locks.held[lock.digest] = held
        for earlier in new.locks[: new.locks.index(lock)]:
            self.locks.take(earlier, held.id, held.seq, self.clock)
        return Twin(number, held.id, held.seq, job.state if job else None)

    def _replace(self, job: Live, new: New) -> list[Gate]:
        """The job starts anew by another spec, at its new place; the gates it left."""
        self.append("job.replaced", job, says(new.body))
        self.withdraw(job)
        left = self.vacate(job, self.gates.of(job))
        job.priority, job.body, job.expires = new.priority, new.body, new.expires
        job.tries = job.crashes = 0
        self._begin(job, new)
        return left

"""The verb submit: jobs, and the locks by which one stands for others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..errors import IdTaken, QueueDraining
from ..jobs import JobState
from ..submitting import COMMAND_KEPT_MS, Duplicate, NewJob, Receipt
from .gates import Gate
from .jobs import Live
from .joining import Ends, Joining
from .links import OPEN
from .locks import Held, Lock, locks_of
from .log import EPOCH
from .passing import AT_ONCE
from .refusals import check_dues


class Submitting(Joining):
    """Submissions, and what is remembered of them."""

    _past = False

    def submit(self, jobs: Sequence[NewJob], command: str) -> Receipt:
        """All or none.

        All jobs are made before any is replaced, and only then others are let in where those have
        left, those go on whose parents have ended, and those are promoted that are due already. No
        more are promoted than were submitted: who waited longer goes first. A command that is sent
        again is remembered longer.
        """
        seen = self.answered(command)
        if isinstance(seen, Receipt):
            self.answer(command, seen, COMMAND_KEPT_MS)
            return seen._replace(again=True)
        self.refuse_draining()
        self.check_ids([job.id for job in jobs], {one.id for one in jobs if self._is_again(one)})
        check_dues(jobs)
        first, self._past = self.log.seq + 1, False
        refused = [(n, taken) for n, new in enumerate(jobs) if (taken := self._admit(new))]
        freed: list[Gate] = []
        twins = [self._settle(n, jobs[n], lock, freed) for n, lock in refused]
        for gate in freed:
            self.let_in(gate, AT_ONCE)
        twice = {n for n, _ in refused}
        for new in (new for n, new in enumerate(jobs) if n not in twice and _waits_for(new)):
            self.hear_at_once(new.id, _known_ends(new))
        if self._past and self.promote_due(len(jobs)):
            self.bell = True
        receipt = Receipt(self.name, EPOCH, first, False, tuple(twins))
        self.answer(command, receipt, COMMAND_KEPT_MS)
        return receipt

    def refuse_draining(self) -> None:
        """Raises QueueDraining if the queue takes no jobs."""
        if self.mode == "draining":
            raise QueueDraining(f"queue {self.name} takes no jobs until it is resumed")

    def check_ids(self, ids: Sequence[str], again: Collection[str] = ()) -> None:
        """Raises IdTaken if a job of one of these lives, or if one is there twice.

        again  of those it is known that the same request made them before
        """
        known: set[str] = set()
        for id in ids:
            if (id in self.jobs.live and id not in again) or id in known:
                raise IdTaken(id)
            known.add(id)

    def _is_again(self, new: NewJob) -> bool:
        """Whether a request of the same key made this very job."""
        held = self.locks.in_force(self.now)
        periods = [lock.digest for lock in locks_of(new) if lock.scope == "period"]
        return any(held[one].id == new.id for one in periods if one in held)

    def _admit(self, new: NewJob) -> Lock | None:
        """Make one job; or the first of its locks that is taken."""
        locks = locks_of(new)
        for lock in locks:
            if self.locks.holder(lock, self.jobs.live, self.now):
                return lock
        expires = new.spec.expires_at or None
        job = Live(new.id, new.spec.priority, new.body, JobState.QUEUED, expires=expires)
        job.locked = any(lock.scope != "period" for lock in locks)
        self.accept(job)
        for lock in locks:
            self.locks.take(lock, job.id, self.log.seq, self.now)
        if new.before:
            job.awaited = True
            self.links.await_(job.id, new.before)
        if _waits_for(new):
            self._hold(job, new)
        else:
            self._begin(job, new)
        return None

    def accept(self, job: Live) -> None:
        """Take a job in: the one place where a job begins."""
        self.log.add("job.submitted", job.id, 1, job.body)
        self.jobs.live[job.id] = job

    def _hold(self, job: Live, new: NewJob) -> None:
        """The job waits for others, or for itself to be complete."""
        job.state, job.depends, job.hold = JobState.BLOCKED, True, _due_of(new)
        unsure = "?" in (new.ended.get(parent) for parent in new.spec.depends_on)
        self.links.seen[job.id] = 0 if unsure else self.now
        self.links.depend(job.id, _waits_for(new))

    def _begin(self, job: Live, new: NewJob) -> None:
        """The job may run, or waits for its time."""
        spec = new.spec
        at = spec.run_at if spec.delay_ms is None else self.now + spec.delay_ms
        if at is None:
            self.enter(job)
            self.bell = True
        else:
            self.wait(job, JobState.SCHEDULED, at)
            self._past = self._past or at <= self.now

    def _settle(self, number: int, new: NewJob, lock: Lock, freed: list[Gate]) -> Duplicate:
        """Another job stands for this one; a waiting one may be given its spec."""
        held = self.locks.holder(lock, self.jobs.live, self.now)
        assert held
        job = self.jobs.live.get(held.id)
        if lock.replace and job and job.state is not JobState.RUNNING:
            freed += self._replace(job, new)
            held = Held(job.id, self.log.seq, held.until)
            self.locks.held[lock.digest] = held
        locks = locks_of(new)
        for earlier in locks[: locks.index(lock)]:
            self.locks.take(earlier, held.id, held.seq, self.now)
        return Duplicate(number, held.id, EPOCH, held.seq, job.state if job else None)

    def _replace(self, job: Live, new: NewJob) -> list[Gate]:
        """The job starts anew by another spec, at its new place; the gates it left."""
        self.append("job.replaced", job, new.body)
        self.withdraw(job)
        left = self.vacate(job, self.gates.of(job))
        job.priority, job.body, job.expires = (
            new.spec.priority,
            new.body,
            new.spec.expires_at or None,
        )
        job.tries = job.crashes = 0
        job.steps = {}
        self._begin(job, new)
        return left


def _waits_for(new: NewJob) -> list[str]:
    """Whom a job waits for; `open` among them: there may be more to come."""
    return [*new.spec.depends_on, *([OPEN] if new.spec.open else [])]


def _known_ends(new: NewJob) -> Ends:
    """How those ended that are known to have by who submits the job."""
    ends = [(parent, new.ended.get(parent, "")) for parent in new.spec.depends_on]
    return [(parent, outcome) for parent, outcome in ends if outcome not in ("", "?")]


def _due_of(new: NewJob) -> str:
    """When a job is to run that waits for others, as submit.lua is given it."""
    spec = new.spec
    if spec.delay_ms is not None:
        return f"+{spec.delay_ms}"
    return "" if spec.run_at is None else str(spec.run_at or "-0")

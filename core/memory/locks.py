"""Locks: who stands for all jobs that are like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..jobs import JobState
from ..submitting import NewJob, Scope
from .jobs import Live


class Lock(NamedTuple):
    """A lock that a submitted job asks for; `ms` of a period.

    replace  a waiting job that holds it is given the new spec
    """

    digest: str
    scope: Scope
    ms: int = 0
    replace: bool = False


class Held(NamedTuple):
    """Who holds a lock, the seq of that job's last spec, and when (ms) the lock ends by itself."""

    id: str
    seq: int
    until: int | None


def locks_of(new: NewJob) -> list[Lock]:
    """The locks a submitted job asks for, in order: that of the request is the first."""
    locks: list[Lock] = []
    if new.once is not None:
        locks.append(Lock(new.once[0], "period", new.once[1]))
    spec = new.spec
    if spec.lock is not None:
        scope: Scope = spec.lock_scope or "unfinished"  # type: ignore[assignment]
        locks.append(Lock(spec.lock, scope, spec.lock_ms or 0, new.policy == "replace"))
    return locks


@dataclass
class Locks:
    """Digest → who holds it, or held it: that a job runs or is gone changes nothing here."""

    held: dict[str, Held] = field(default_factory=dict)

    def in_force(self, now: int) -> dict[str, Held]:
        """All but those whose period is over."""
        return {
            digest: held
            for digest, held in self.held.items()
            if held.until is None or now < held.until
        }

    def holder(self, lock: Lock, live: dict[str, Live], now: int) -> Held | None:
        """Who holds it, by the scope of who asks; None: it is free.

        A period is over when its time is; else the job must live, or even wait.
        """
        held = self.held.get(lock.digest)
        if held is None or (held.until is not None and held.until <= now):
            return None
        if lock.scope == "period":
            return held
        job = live.get(held.id)
        if job is None or (lock.scope == "waiting" and job.state is JobState.RUNNING):
            return None
        return held

    def take(self, lock: Lock, id: str, seq: int, now: int) -> None:
        """Give it to a job, whoever held it."""
        until = now + lock.ms if lock.scope == "period" else None
        self.held[lock.digest] = Held(id, seq, until)

    def free(self, job: Live) -> None:
        """The job ends: the lock of its spec is free, if it is still this job's."""
        digest = job.head.lock or ""
        held = self.held.get(digest) if job.locked else None
        if held and held.id == job.id:
            del self.held[digest]

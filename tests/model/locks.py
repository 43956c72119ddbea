"""Locks: who stands for all jobs that are like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from millstream.core.jobs import JobState
from millstream.core.submitting import Scope

from .jobs import Live


class Lock(NamedTuple):
    """A lock that a submitted job asks for; `minutes` of a period.

    replace  a waiting job that holds it is given the new spec
    """

    digest: str
    scope: Scope
    minutes: int = 0
    replace: bool = False


class Held(NamedTuple):
    """Who holds a lock, the seq of that job's last spec, and the minute the lock ends by itself."""

    id: str
    seq: int
    until: int | None


@dataclass
class Locks:
    """Digest → who holds it, or held it: that a job runs or is gone changes nothing here."""

    held: dict[str, Held] = field(default_factory=dict)

    def in_force(self, minute: int) -> dict[str, Held]:
        """All but those whose period is over."""
        return {
            digest: held
            for digest, held in self.held.items()
            if held.until is None or minute < held.until
        }

    def holder(self, lock: Lock, live: dict[str, Live], minute: int) -> Held | None:
        """Who holds it, by the scope of who asks; None: it is free.

        A period is over when its time is; else the job must live, or even wait.
        """
        held = self.in_force(minute).get(lock.digest)
        if held is None or lock.scope == "period":
            return held
        job = live.get(held.id)
        if job is None or (lock.scope == "waiting" and job.state is JobState.RUNNING):
            return None
        return held

    def take(self, lock: Lock, id: str, seq: int, minute: int) -> None:
        until = minute + lock.minutes if lock.scope == "period" else None
        self.held[lock.digest] = Held(id, seq, until)

    def free(self, job: Live) -> None:
        """The job ends: the lock of its spec is free, if it is still this job's."""
        digest: str = job.spec.get("lock") or ""
        held = self.held.get(digest) if job.locked else None
        if held and held.id == job.id:
            del self.held[digest]

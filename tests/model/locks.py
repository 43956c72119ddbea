"""Locks: a job stands for all that are like it, for as long as the scope of its lock says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from millstream.core.submitting import Scope


class Lock(NamedTuple):
    """What a submission asks for. `minutes`: of the scope `period`; `replace`: of a waiting job."""

    digest: str
    scope: Scope
    minutes: int
    replace: bool


class Held(NamedTuple):
    """Who holds a lock, the seq of its last spec, and the minute in which that ends by itself."""

    job: str
    seq: int
    until: int | None


@dataclass
class Locks:
    """Digest → who holds it. One whose job has ended, or runs, may stand here all the same."""

    held: dict[str, Held] = field(default_factory=dict)

    def get(self, digest: str, minute: int) -> Held | None:
        held = self.held.get(digest)
        return None if held is None or (held.until or minute + 1) <= minute else held

    def take(self, lock: Lock, job: str, seq: int, minute: int) -> None:
        until = minute + lock.minutes if lock.scope == "period" else None
        self.held[lock.digest] = Held(job, seq, until)

    def release(self, digest: str, job: str) -> None:
        """The job has ended; another may hold its lock by now."""
        if digest in self.held and self.held[digest].job == job:
            del self.held[digest]

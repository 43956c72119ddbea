"""Live jobs, and what is remembered of some that ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ..jobs import JobState

GONE_MS = 3_600_000
"""How long the last version of a job that was redriven or discarded is remembered once its event
is archived."""


class Head(msgspec.Struct, frozen=True):
    """What verbs read of a spec."""

    type: str
    concurrency_key: str | None = None
    rate_key: str | None = None
    lock: str | None = None
    on_parent_failure: str | None = None


@lru_cache(maxsize=1000)
def head_of(body: bytes) -> Head:
    """The same, from the body of a spec."""
    return msgspec.json.decode(body, type=Head)


@dataclass
class Live:
    """A job that has not ended. Times are ms since 1970.

    version   of its last event
    tries     attempts that have ended since it was submitted, replaced or redriven
    crashes   leases lost since then
    fence     version of the job.started event that its ready entry gives, or gave; 0 without one
    expires   after which it must not start
    cancel    cancellation was requested while it ran
    redriven  it had ended before
    locked    it holds the lock that its spec names until it ends, if nobody took it over
    depends   it waits for others; `hold`: when it is to run once it does no more, as submit.lua
              is given it
    awaited   others wait for it, or did
    steps     step → body of its job.checkpointed
    """

    id: str
    priority: int
    body: bytes
    state: JobState
    version: int = 1
    tries: int = 0
    crashes: int = 0
    fence: int = 0
    expires: int | None = None
    cancel: bool = False
    redriven: bool = False
    locked: bool = False
    depends: bool = False
    hold: str = ""
    awaited: bool = False
    steps: dict[str, bytes] = field(default_factory=dict)

    def expired(self, now: int) -> bool:
        """Whether it must not start any more."""
        return self.expires is not None and self.expires <= now

    @property
    def head(self) -> Head:
        """What verbs read of its spec."""
        return head_of(self.body)


class Gone(NamedTuple):
    """The last version of a job, and the seq of its event; `until` (ms) once that is archived."""

    version: int
    seq: int
    until: int | None = None


@dataclass
class Jobs:
    """Every live job by id; `gone`: what is remembered of some that are not."""

    live: dict[str, Live] = field(default_factory=dict)
    gone: dict[str, Gone] = field(default_factory=dict)

    def end(self, job: Live, seq: int) -> None:
        """Forget a job that has ended, by the event of that seq."""
        del self.live[job.id]
        if job.redriven:
            self.remember(job.id, job.version, seq)

    def remember(self, id: str, version: int, seq: int) -> None:
        """Keep the last version of a job that has ended, by the event of that seq."""
        self.gone[id] = Gone(version, seq)

    def archived(self, seq: int, now: int) -> None:
        """The tables have the ends up to there."""
        for id, gone in self.gone.items():
            if gone.until is None and gone.seq <= seq:
                self.gone[id] = gone._replace(until=now + GONE_MS)

    def last_version(self, id: str, now: int) -> int | None:
        """Last version of a job that ended, while that is remembered."""
        gone = self.gone.get(id)
        return gone.version if gone and (gone.until is None or now < gone.until) else None

"""Live jobs, and what is remembered of some that ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from millstream.core.jobs import JobState

GONE_MINUTES = 60
"""How long the last version of a redriven job that ended is remembered."""


@lru_cache(maxsize=1000)
def spec_of(body: bytes) -> dict[str, Any]:
    """What a spec says; not to be changed."""
    return json.loads(body)


@dataclass
class Live:
    """A job that has not ended.

    version   of its last event
    tries     attempts that have ended since it was submitted, replaced or redriven
    crashes   leases lost since then
    fence     version of the job.started event that its ready entry gives, or gave; 0 without one
    expires   minute after which it must not start
    cancel    cancellation was requested while it ran
    redriven  it had ended before
    locked    it holds the lock that its spec names until it ends, if nobody took it over
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

    def expired(self, minute: int) -> bool:
        """Whether it must not start any more."""
        return self.expires is not None and self.expires <= minute

    @property
    def spec(self) -> dict[str, Any]:
        return spec_of(self.body)


@dataclass
class Jobs:
    """Every live job by id; `gone`: last version and minute of the end of those redriven.

    specs  the last spec of every job there ever was, as an archive has it
    """

    live: dict[str, Live] = field(default_factory=dict)
    gone: dict[str, tuple[int, int]] = field(default_factory=dict)
    specs: dict[str, bytes] = field(default_factory=dict)

    def end(self, job: Live, minute: int) -> None:
        """Forget a job that has ended."""
        del self.live[job.id]
        if job.redriven:
            self.gone[job.id] = job.version, minute

    def last_version(self, id: str, minute: int) -> int | None:
        """Last version of a redriven job that ended, while that is remembered."""
        version, ended = self.gone.get(id, (0, 0))
        return version if version and minute - ended < GONE_MINUTES else None

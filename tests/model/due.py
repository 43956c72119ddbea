"""Jobs that wait for an instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Instant(NamedTuple):
    """A minute of the model, and the call at whose time within it (odd: just before that call)."""

    minute: int
    tick: int

    def later(self, minutes: int) -> Instant:
        return Instant(self.minute + minutes, self.tick)


@dataclass
class Due:
    """Job → when it may run. `since`: the minute in which it began to wait."""

    at: dict[str, Instant] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)

    def add(self, job: str, at: Instant, minute: int) -> bool:
        """Let a job wait; whether it is now the first."""
        self.at[job], self.since[job] = at, minute
        return self.order()[0] == job

    def remove(self, job: str) -> None:
        del self.at[job], self.since[job]

    def order(self) -> list[str]:
        """All that wait, the earliest first; at the same instant the lower id."""
        return sorted(self.at, key=lambda job: (self.at[job], job))

    def ready(self, now: Instant, limit: int) -> list[str]:
        """The first `limit` of those whose time has come."""
        return [job for job in self.order() if self.at[job] <= now][:limit]

    def next(self) -> Instant | None:
        """When the first of all may run."""
        return min(self.at.values(), default=None)

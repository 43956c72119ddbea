"""Jobs that wait for an instant."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass
class Due:
    """Job → when it may run (ms since 1970)."""

    at: dict[str, int] = field(default_factory=dict)
    _line: list[tuple[int, str]] = field(default_factory=list)

    def add(self, job: str, at: int) -> bool:
        """Let a job wait; whether it is now the first."""
        self.at[job] = at
        insort(self._line, (at, job))
        return self._line[0] == (at, job)

    def remove(self, job: str) -> None:
        """It waits no more."""
        del self._line[bisect_left(self._line, (self.at.pop(job), job))]

    def order(self) -> list[str]:
        """All that wait, the earliest first; at the same instant the lower id."""
        return [job for _, job in self._line]

    def ready(self, now: int, limit: int) -> list[str]:
        """The first `limit` of those whose time has come."""
        return [job for _, job in takewhile(lambda one: one[0] <= now, self._line[:limit])]

    def next(self) -> int:
        """When the first of all may run; 0: nobody waits."""
        return self._line[0][0] if self._line else 0

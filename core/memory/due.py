"""Jobs that wait for an instant."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Due:
    """Job → when it may run (ms since 1970)."""

    at: dict[str, int] = field(default_factory=dict)

    def add(self, job: str, at: int) -> bool:
        """Let a job wait; whether it is now the first."""
        self.at[job] = at
        return min(self.at, key=self._turn) == job

    def remove(self, job: str) -> None:
        """It waits no more."""
        del self.at[job]

    def order(self) -> list[str]:
        """All that wait, the earliest first; at the same instant the lower id."""
        return sorted(self.at, key=self._turn)

    def ready(self, now: int, limit: int) -> list[str]:
        """The first `limit` of those whose time has come."""
        return [job for job in self.order() if self.at[job] <= now][:limit]

    def _turn(self, job: str) -> tuple[int, str]:
        return self.at[job], job

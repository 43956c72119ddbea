"""Limits, and the gates at which jobs wait for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .due import Instant
from .jobs import Live


class Rate(NamedTuple):
    """Minutes between starts, and how many may come at once."""

    every: int
    burst: int


NEVER = Instant(-(10**6), 0)

Bound = int | Rate | None
"""Of a concurrency limit, or of a rate; None: it was taken away, and is only counted."""


def words(bound: Bound) -> str:
    """A bound as the server keeps it; a rate is followed by how it was said, here nothing."""
    if bound is None:
        return "-"
    if isinstance(bound, Rate):
        return f"{bound.every * 60_000_000} {bound.burst} {{}}"
    return str(bound)


WHOLE = ("c", "r", "aging")
"""Limits of the whole queue: no jobs wait at gates for these, and they can be forgotten."""


@dataclass
class Gate:
    """One limit for one key, or for a type.

    holders  jobs that have passed: of a concurrency limit until they end or wait for a time, of a
             rate until they start, which is when they pay
    waiting  job → its priority, and the seq of its job.blocked
    paid_up  when the next start would be on time, had each start taken its share
    """

    name: str
    told: str
    bound: Bound = None
    holders: set[str] = field(default_factory=set)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)
    paid_up: Instant = NEVER

    def queue(self) -> list[str]:
        """Who waits, in the order of their turns."""
        return sorted(self.waiting, key=self.waiting.__getitem__)

    def room(self, now: Instant) -> int:
        """How many more may pass now."""
        if self.bound is None:
            return 10**6
        if isinstance(self.bound, int):
            return self.bound - len(self.holders)
        behind = max(self.paid_up, now).minute - now.minute
        owed = -(-behind // self.bound.every)
        return self.bound.burst - owed - len(self.holders)

    def room_at(self, now: Instant) -> Instant:
        """When a rate has room for one more."""
        assert isinstance(self.bound, Rate)
        ahead = len(self.holders) + 1 - self.bound.burst
        return max(self.paid_up, now).later(ahead * self.bound.every)

    def pay(self, starts: int, now: Instant) -> None:
        """Some start."""
        if isinstance(self.bound, Rate):
            self.paid_up = max(self.paid_up, now).later(starts * self.bound.every)


@dataclass
class Gates:
    """All limits, the gates they made, and when a rate is looked at again.

    limits  field (see core/limits.py) → bound; `aging` in ms
    """

    limits: dict[str, Bound] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    timers: dict[str, Instant] = field(default_factory=dict)

    def of(self, job: Live) -> list[Gate]:
        """The gates a job must pass, in the order of all jobs: narrow ones first."""
        kind = job.spec["type"]
        key, rate_key = job.spec.get("concurrency_key"), job.spec.get("rate_key")
        asked = [
            (f"ck:{kind}", key, f"concurrency of key {key} of type {kind}"),
            ("ck", key, f"concurrency of key {key}"),
            (f"rk:{kind}", rate_key, f"rate of key {rate_key} of type {kind}"),
            ("rk", rate_key, f"rate of key {rate_key}"),
            (f"c:{kind}", "", f"concurrency of type {kind}"),
            (f"r:{kind}", "", f"rate of type {kind}"),
        ]
        return [
            self._gate(limit, key, told)
            for limit, key, told in asked
            if key is not None and limit in self.limits
        ]

    def _gate(self, limit: str, key: str, told: str) -> Gate:
        name = f"{limit}|{key}" if key else limit
        gate = self.gates.setdefault(name, Gate(name, told))
        gate.bound = self.limits[limit]
        return gate

    def whole_rate(self) -> Gate | None:
        """The rate of the whole queue, which holds back claims, not jobs."""
        return self._gate("r", "", "") if "r" in self.limits else None

    def set(self, limit: str, bound: Bound) -> bool:
        """Change a limit; whether there was none of that name."""
        fresh = limit not in self.limits
        if bound is None and (fresh or limit in WHOLE):
            self.limits.pop(limit, None)
            return False
        self.limits[limit] = bound
        for gate in self.gates.values():
            if gate.name.partition("|")[0] == limit:
                gate.bound = bound
        return fresh

    def next(self) -> list[str]:
        """Rates that are looked at again, the first of all first."""
        return sorted(self.timers, key=lambda name: (self.timers[name], name))

    def crowded(self) -> list[str]:
        """Gates at which jobs wait."""
        return sorted(name for name, gate in self.gates.items() if gate.waiting)

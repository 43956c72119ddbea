"""Limits, and the gates at which jobs wait for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .jobs import Live

ENDLESS = 10**6
"""Room where there is no bound."""


class Rate(NamedTuple):
    """µs between starts, and how many may come at once."""

    interval: int
    burst: int


Bound = int | Rate | None
"""Of a concurrency limit, or of a rate; None: it was taken away, and is only counted."""

WHOLE = ("c", "r", "aging")
"""Limits of the whole queue: no jobs wait at gates for these, and they can be forgotten."""


def bound_of(limit: str, text: str) -> Bound:
    """A bound from the words of core/limits.py."""
    if text == "-":
        return None
    if limit.startswith("r"):
        interval, burst, *_ = text.split(" ", 2)
        return Rate(int(interval), int(burst))
    return int(text)


@dataclass
class Gate:
    """One limit for one key, or for a type.

    holders  jobs that have passed: of a concurrency limit until they end or wait for a time, of a
             rate until they start, which is when they pay
    waiting  job → its priority, and the seq of its job.blocked
    on_time  when (µs) the next start would be on time, had each start taken its share
    """

    name: str
    told: str
    bound: Bound = None
    holders: set[str] = field(default_factory=set)
    waiting: dict[str, tuple[int, int]] = field(default_factory=dict)
    on_time: int = 0

    def queue(self) -> list[str]:
        """Who waits, in the order of their turns."""
        return sorted(self.waiting, key=self.waiting.__getitem__)

    def room(self, now: int) -> int:
        """How many more may pass at that time (ms)."""
        if self.bound is None:
            return ENDLESS
        if isinstance(self.bound, int):
            return self.bound - len(self.holders)
        behind = max(self.on_time - now * 1000, 0)
        owed = -(-behind // self.bound.interval)
        return self.bound.burst - owed - len(self.holders)

    def room_at(self, now: int) -> int:
        """When (ms) a rate has room for one more."""
        assert isinstance(self.bound, Rate)
        ahead = len(self.holders) + 1 - self.bound.burst
        return -(-(max(self.on_time, now * 1000) + ahead * self.bound.interval) // 1000)

    def pay(self, starts: int, now: int) -> None:
        """Some start."""
        if isinstance(self.bound, Rate):
            self.on_time = max(self.on_time, now * 1000) + starts * self.bound.interval


@dataclass
class Gates:
    """All limits, the gates they made, and when (ms) one is looked at again.

    limits  field → bound, both in the words of core/limits.py; '-': none any more
    """

    limits: dict[str, str] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)

    def of(self, job: Live) -> list[Gate]:
        """The gates a job must pass, in the order of all jobs: narrow ones first."""
        kind, key, rate_key = job.head.type, job.head.concurrency_key, job.head.rate_key
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
        gate.bound = self.bound(limit)
        return gate

    def bound(self, limit: str) -> Bound:
        """What a limit says; None: nothing."""
        return bound_of(limit, self.limits.get(limit, "-"))

    def whole_rate(self) -> Gate | None:
        """The rate of the whole queue, which holds back claims, not jobs."""
        return self._gate("r", "", "") if "r" in self.limits else None

    def set(self, limit: str, text: str) -> bool:
        """Change a limit ('' takes it away); whether there was none of that name."""
        fresh = limit not in self.limits
        if not text and (fresh or limit in WHOLE):
            self.limits.pop(limit, None)
            return False
        self.limits[limit] = text or "-"
        for gate in self.gates.values():
            if gate.name.partition("|")[0] == limit:
                gate.bound = self.bound(limit)
        return fresh

    def next(self) -> list[str]:
        """Rates that are looked at again, the first of all first."""
        return sorted(self.timers, key=lambda name: (self.timers[name], name))

    def crowded(self) -> list[str]:
        """Gates at which jobs wait."""
        return sorted(name for name, gate in self.gates.items() if gate.waiting)

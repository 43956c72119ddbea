"""Concurrency limits: the gates a job must pass before it starts, and who waits at them.

Not here, and not in the state machine yet: rates and aging, whose times are not whole minutes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

QUEUE = "c"
"""The limit of the whole queue is no gate: nobody waits for it but in the lanes."""


@dataclass
class Gates:
    """A gate is named by its field of the limits, and by the key where the limit is per key.

    bounds  field → how many at once; None: no limit any more, but jobs are still counted
    passed  gate → jobs that have passed it, until they end or wait for a time
    parked  gate → jobs that wait at it: priority, seq of their job.blocked, id
    at      job → gate it waits at
    """

    bounds: dict[str, int | None] = field(default_factory=dict)
    passed: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    parked: defaultdict[str, list[tuple[int, int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    at: dict[str, str] = field(default_factory=dict)

    def of(self, type_: str, key: str | None) -> list[str]:
        """The gates of a job, in the order in which all jobs pass them: narrow ones first."""
        fields = [(f"ck:{type_}", key), ("ck", key), (f"c:{type_}", None)]
        return [
            name if of is None else f"{name}|{of}"
            for name, of in fields
            if name in self.bounds and (of is not None or name.startswith("c:"))
        ]

    def bound(self, gate: str) -> float:
        bound = self.bounds[gate.partition("|")[0]]
        return math.inf if bound is None else bound

    def open(self, gate: str, job: str) -> bool:
        """Whether a job may pass: there is room and nobody waits, or it has passed before."""
        free = not self.parked[gate] and len(self.passed[gate]) < self.bound(gate)
        return self.bound(gate) == math.inf or free or job in self.passed[gate]

    def park(self, gate: str, job: str, priority: int, seq: int) -> None:
        self.parked[gate].append((priority, seq, job))
        self.parked[gate].sort()
        self.at[job] = gate

    def unpark(self, job: str) -> None:
        gate = self.at.pop(job)
        self.parked[gate] = [one for one in self.parked[gate] if one[2] != job]

    def next(self, gate: str) -> str | None:
        """Who is let in now, if there is room: by priority, then by who came first."""
        if self.parked[gate] and len(self.passed[gate]) < self.bound(gate):
            return self.parked[gate][0][2]
        return None

    def told(self, gate: str) -> str:
        """As events tell it."""
        name, _, key = gate.partition("|")
        _, _, type_ = name.partition(":")
        of_key = f" of key {key}" if key else ""
        return "concurrency" + of_key + (f" of type {type_}" if type_ else "")

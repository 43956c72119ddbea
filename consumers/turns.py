"""Whose turn it is among the queues with work: shares by weight, by stride scheduling.

Each queue has a pass; the lowest goes next, and moves on by the jobs it was given, divided by its
weight. So over time jobs are given in proportion to the weights, a queue of weight 1 beside one of
1000 still has its turn, and equal weights alternate. A queue that comes back after it had no work
begins where the others stand: it had no use for the turns it missed, and does not catch up.
"""

import heapq
from itertools import count


class Turns:
    """The queues that may have work, in the order of their turns."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._passes: dict[str, float] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._waiting: set[str] = set()
        self._arrivals = count()  # of equal passes the one that has waited longest
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, name: str, weight: int = 1) -> None:
        """Make a queue known."""
        self._weights[name] = weight
        self._passes[name] = 0.0

    def enter(self, name: str) -> bool:
        """Let a queue wait for its turn; False if it does already."""
        if name in self._waiting:
            return False
        at = self._passes[name] = max(self._passes[name], self._now)
        heapq.heappush(self._heap, (at, next(self._arrivals), name))
        self._waiting.add(name)
        return True

    def first(self) -> str:
        """Whose turn it is; there must be one."""
        return self._heap[0][2]

    def take(self) -> str:
        """The same, and it waits no more."""
        self._now, _, name = heapq.heappop(self._heap)
        self._waiting.discard(name)
        return name

    def charge(self, name: str, jobs: int) -> None:
        """Note that a queue that does not wait was given `jobs`."""
        self._passes[name] += jobs / self._weights[name]

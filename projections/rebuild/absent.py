"""Events that an archive does not have, for a reason that is known."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from ..connection import translated
from ..statements import statement


class Absent:
    """Ranges of seqs, each from a first to a last one; none overlaps another."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        found = sorted(ranges)
        self._firsts = [first for first, _ in found]
        self._lasts = [last for _, last in found]
        self._before = [0, *accumulate(last - first + 1 for first, last in found)]

    def count(self, after: int, until: int) -> int:
        """How many there are after one seq up to another."""
        return self._up_to(until) - self._up_to(after)

    def _up_to(self, seq: int) -> int:
        at = bisect_right(self._firsts, seq)
        return self._before[at] - max(0, self._lasts[at - 1] - seq) if at else 0


async def absent_events(connection: Any, partition: str, after: int, until: int) -> Absent:
    """Those of a partition that were declared to be nowhere, or dropped for their age."""
    with translated():
        rows = await connection.fetch(statement("absent_events"), partition, after, until)
    return Absent((row["first"], row["last"]) for row in rows)

"""What the verb `fire` is given, read from the arguments of its script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class FiringJob(NamedTuple):
    """A job an occurrence is to become; `expires`: ms since 1970, 0 never."""

    id: str
    occurrence: int
    cause: str
    priority: int
    expires: int
    body: bytes


class Firing(NamedTuple):
    """What a schedule is to do, in the words of fire.lua. `position` '-': it stays where it is."""

    name: str
    version: int
    position: Any
    buffered: Any
    next: Any
    due: Any
    overlap: str
    skipped: bytes
    by: bytes
    jobs: list[FiringJob]

    @property
    def moves(self) -> bool:
        """Whether it goes on to its next occurrence."""
        return self.position != "-"


def read_firings(args: Sequence[Any]) -> list[Firing]:
    """All of one call."""
    firings: list[Firing] = []
    at = 0
    while at < len(args):
        given, count = args[at : at + 9], args[at + 9]
        first, at = at + 10, at + 10 + 6 * count
        jobs = [FiringJob._make(args[one : one + 6]) for one in range(first, at, 6)]
        firings.append(Firing._make((*given, jobs)))
    return firings

"""What a round found, partition by partition, and what of it is shown."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from .rules import KINDS, Kind

SHOWN = 100
"""Most jobs of a kind that are named."""

MOST = 10_000
"""Most jobs of a kind that are counted."""


class Tally(msgspec.Struct):
    """What was found of one partition: kind → job → why."""

    jobs: int = 0
    kinds: dict[Kind, dict[str, str]] = {}

    def add(self, kind: Kind, job: str, why: str) -> None:
        """Note a job; again is the same."""
        found = self.kinds.setdefault(kind, {})
        if len(found) < MOST:
            found.setdefault(job, why)


class Shown(NamedTuple):
    """Of a partition: live jobs, how many of each kind, and the first of them with why."""

    partition: str
    jobs: int
    counts: dict[str, int]
    first: dict[str, dict[str, str]]


class Found:
    """Findings of the round that goes on, over those of the last whole one."""

    def __init__(self) -> None:
        self._last: dict[str, Tally] = {}
        self._now: dict[str, Tally] = defaultdict(Tally)

    def of(self, partition: str) -> Tally:
        """The tally of a partition in this round."""
        return self._now[partition]

    def begin_round(self) -> None:
        """Forget what a round that was broken off had found."""
        self._now.clear()

    def end_round(self) -> None:
        """What was found only in the round before is over."""
        self._last, self._now = dict(self._now), defaultdict(Tally)

    def shown(self) -> Iterator[Shown]:
        """What there is to be shown of each partition."""
        for partition in sorted(self._last.keys() | self._now.keys()):
            last, now = self._last.get(partition), self._now.get(partition)
            both: dict[str, dict[str, str]] = {
                kind: (last.kinds.get(kind, {}) if last else {})
                | (now.kinds.get(kind, {}) if now else {})
                for kind in KINDS
            }
            counts = {kind: len(found) for kind, found in both.items()}
            first = {kind: dict(list(found.items())[:SHOWN]) for kind, found in both.items()}
            yield Shown(partition, last.jobs if last else 0, counts, first)

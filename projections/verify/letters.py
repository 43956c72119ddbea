"""Groups of dead letters, against the failures that the events of jobs tell."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from ..effect import Failures, Group
from .report import Run


class Told(NamedTuple):
    """A group: when the first and the last of its jobs failed, and how it is shown. Where several
    failed last, in one ms, any of them may be the one that is shown."""

    first_at: int
    last_at: int
    shown: frozenset[tuple[str, str]]

    def differs(self, row: Any) -> str:
        """What is wrong with the row of the group; '': nothing."""
        for name in ("first_at", "last_at"):
            if row[name] != getattr(self, name):
                return f"{name}: expected {getattr(self, name)}, got {row[name]}"
        found = row["label"], str(row["sample"])
        if found not in self.shown:
            return f"label and sample: expected one of {sorted(self.shown)}, got {found}"
        return ""


class Letters:
    """Gathers failures, those of some jobs at a time: one line for each group there is."""

    def __init__(self) -> None:
        self._told: dict[Group, Told] = {}

    def add(self, failures: Mapping[Group, Failures]) -> None:
        """Failures of more jobs."""
        for group, (label, first_at, last_at, sample) in failures.items():
            told = Told(first_at, last_at, frozenset({(label, sample)}))
            other = self._told.get(group)
            self._told[group] = told if other is None else _joined(told, other)

    async def check(self, run: Run, rows: AsyncIterator[Any]) -> None:
        """Hold the rows of dead_letters against them."""
        missing = set(self._told)
        async for row in rows:
            group = row["queue"], row["type"], row["reason"], row["fingerprint"]
            missing.discard(group)
            told = self._told.get(group)
            why = "expected no such group" if told is None else told.differs(row)
            if why:
                run.found.add("letters-differ", "/".join(group), why)
        for group in sorted(missing):
            run.found.add("letters-differ", "/".join(group), "expected such a group, got none")


def _joined(one: Told, other: Told) -> Told:
    first_at, last_at = min(one.first_at, other.first_at), max(one.last_at, other.last_at)
    shown = [told.shown for told in (one, other) if told.last_at == last_at]
    return Told(first_at, last_at, frozenset[tuple[str, str]]().union(*shown))

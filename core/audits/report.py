"""What an audit found."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ..jobs import Job

_WHO = re.compile(r"(?<=lease of )\S+|(?<=redriven by )\S+|(?<=process at )\S+")


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold: its name, where (a position, a job, a key), and how."""

    name: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} at {self.where}: {self.detail}"


@dataclass
class Report:
    """Violations, and what the history told.

    events  how many there were
    jobs    every job as its events tell it, by id
    reruns  job → why it was started again, for each start after its first
    """

    violations: list[Violation] = field(default_factory=list)
    events: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    reruns: dict[str, list[str]] = field(default_factory=dict)

    @property
    def causes(self) -> Counter[str]:
        """Why jobs were started again, whoever it was → how often."""
        return Counter(_WHO.sub("…", why) for whys in self.reruns.values() for why in whys)

    @property
    def names(self) -> set[str]:
        """Names of all invariants that do not hold."""
        return {violation.name for violation in self.violations}

    def add(self, name: str, where: str, detail: str) -> None:
        self.violations.append(Violation(name, where, detail))

    def require(self) -> Report:
        """Return self, or raise AssertionError that names every violation."""
        assert not self.violations, str(self)
        return self

    def __str__(self) -> str:
        lines = [
            f"{self.events} events of {len(self.jobs)} jobs: {len(self.violations)} violations"
        ]
        lines += [f"  {violation}" for violation in self.violations[:50]]
        if len(self.violations) > 50:
            lines.append(f"  and {len(self.violations) - 50} more")
        for job, reasons in self.reruns.items():
            lines.append(f"  job {job} ran {len(reasons) + 1} times: {'; '.join(reasons)}")
        return "\n".join(lines)

"""What a verification is asked to do, where it stands, and what it found."""

import random
from collections.abc import Iterable

import msgspec

from ...core.audits.findings import Finding, Findings
from ...core.audits.report import Report


class Plan(msgspec.Struct, frozen=True):
    """share: of the pages that are looked at, 0 to 1; the others are passed over. queues: only
    these; empty: all. cutoffs: queue (`*`: all others) → the time (ms) before which ended jobs may
    have been dropped for their age."""

    share: float = 1.0
    queues: tuple[str, ...] = ()
    cutoffs: dict[str, int] = {}

    def cutoff(self, queue: str) -> int | None:
        """The cutoff of a queue; None: its jobs are kept."""
        return self.cutoffs.get(queue, self.cutoffs.get("*"))


class Cursor(msgspec.Struct):
    """Where a run stands, as kept in a file so that another can go on.

    partition  whose log is being read; those before it by name are done
    epoch, seq after which event
    job        id after which the rows are read; None: the logs are not done yet
    whole      no page was passed over, and all was read in this run
    """

    partition: str = ""
    epoch: int = 0
    seq: int = 0
    job: str | None = None
    whole: bool = True
    events: int = 0
    jobs: int = 0
    late: list[str] = []
    notes: list[str] = []
    counts: dict[str, int] = {}
    findings: list[Finding] = []


class Outcome(msgspec.Struct):
    """What verifying told.

    events    of the logs that were read; jobs: rows that were held against their events
    whole     everything was looked at, in one run
    notes     what was not looked at, and why
    counts    kind of finding → how many
    findings  the first of them
    """

    events: int
    jobs: int
    whole: bool
    notes: list[str]
    counts: dict[str, int]
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.counts


class Run:
    """One run: what it is to do, where it stands, what it has found."""

    def __init__(self, plan: Plan, cursor: Cursor) -> None:
        self.plan = plan
        self.cursor = cursor
        self.found = Findings()
        self.found.kept = list(cursor.findings)
        self.found.counts.update(cursor.counts)
        self._random = random.Random(0)  # the same pages each time, so that a finding stays

    def chosen(self) -> bool:
        """Whether the next page is to be looked at."""
        if self.plan.share >= 1:
            return True
        self.cursor.whole = False
        return self._random.random() < self.plan.share

    def wanted(self, queue: str) -> bool:
        """Whether a queue is to be looked at."""
        return not self.plan.queues or queue in self.plan.queues

    def note(self, text: str) -> None:
        """Say what was not looked at."""
        if text not in self.cursor.notes:
            self.cursor.notes.append(text)

    def take(self, report: Report) -> None:
        """Take over what an audit of a page found."""
        for violation in report.violations:
            self.found.add(violation.name, violation.where, violation.detail)
        report.violations.clear()

    def differ(self, kind: str, told: dict[str, int], stored: dict[str, int]) -> None:
        """Note every key whose sums differ; 0 is the same as none."""
        for key in sorted(_keys(told, stored)):
            expected, got = told.get(key, 0), stored.get(key, 0)
            if expected != got:
                self.found.add(kind, key, f"expected {expected}, got {got}")

    def saved(self) -> Cursor:
        """Where it stands, to go on from."""
        self.cursor.findings = self.found.kept
        self.cursor.counts = dict(self.found.counts)
        return self.cursor

    def outcome(self) -> Outcome:
        """What it told."""
        at = self.saved()
        return Outcome(at.events, at.jobs, at.whole, at.notes, at.counts, at.findings)


def _keys(*sums: Iterable[str]) -> set[str]:
    return {key for each in sums for key in each}

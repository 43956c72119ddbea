"""Audits that every job ended as its kind may end."""

from __future__ import annotations

from collections import Counter

from millstream.core import events as ev
from millstream.core.audits.report import Report
from millstream.core.jobs import Job, JobState
from tests.audits.parents import FAILED

from .kinds import KINDS, SUCCEEDED, end_of


class Ends:
    """Compares ends with kinds; a parent that succeeded has all its children.

    Any job may end as poison once its workers died so often, or be cancelled.
    """

    def __init__(self, max_crashes: int) -> None:
        self._max_crashes = max_crashes
        self._children: Counter[str] = Counter()
        self.poisoned: Counter[str] = Counter()
        """Kind → how many ended as poison."""

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Count children."""
        if type(event) is ev.JobSubmitted and "parent" in event.metadata:
            self._children[event.metadata["parent"]] += 1

    def close(self, report: Report) -> None:
        """Audit the ends of all jobs."""
        for job in report.jobs.values():
            kind, end = job.metadata.get("kind", ""), end_of(job)
            allowed = KINDS[kind].ends if kind else frozenset({SUCCEEDED})
            if end == "poison":
                self.poisoned[kind or job.type] += 1
            if job.terminal and end not in allowed and not self._excused(job, end):
                detail = f"kind {kind or job.type}: expected {sorted(allowed)}, got {end}: "
                report.add("wrong-end", job.id, detail + str(job.error))
            if kind and job.state is JobState.SUCCEEDED:
                told, wanted = self._children[job.id], KINDS[kind].children(job)
                if told != wanted:
                    report.add("children-missing", job.id, f"expected {wanted}, got {told}")

    def _excused(self, job: Job, end: str) -> bool:
        if end == "poison":
            return job.crashes >= self._max_crashes
        if end == FAILED:
            return "after" in job.metadata
        return end == JobState.CANCELLED.value

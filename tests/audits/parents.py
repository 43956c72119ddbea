"""Audits flows: a job runs after those it waits for, and as they ended."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.core import events as ev
from millstream.core.audits.report import Report
from millstream.core.jobs import Job, JobState

FAILED = "parent_failed"


class Parents:
    """Holds each job of a flow against its parents.

    A job says in its metadata by which request (`op`), or by which job (`parent`), and as which of
    its jobs (`place`) it was submitted, after which other places of the same origin it runs
    (`after`: ``0,2``), and what becomes of it if one of them fails (`policy`). Where one of them
    was run again nothing is certain.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], str] = {}
        self._first: dict[str, int] = {}
        self._again: set[str] = set()
        self._extended: set[str] = set()
        """Jobs that wait for more than they say; whether for those is seen by `audit_joins`."""

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event."""
        match event:
            case ev.JobSubmitted(metadata=made) if "place" in made:
                self._places.setdefault((_origin(made), made["place"]), record.job)
            case ev.JobStarted():
                self._first.setdefault(record.job, record.time)
            case ev.JobRedriven():
                self._again.add(record.job)
            case ev.JobExtended():
                self._extended.add(record.job)
            case _:
                pass

    def close(self, report: Report) -> None:
        """Audit the whole."""
        for job in report.jobs.values():
            if "after" not in job.metadata:
                continue
            places = job.metadata["after"].split(",")
            ids = [self._places.get((_origin(job.metadata), place)) for place in places]
            parents = [report.jobs[one] for one in ids if one is not None]
            if len(parents) < len(ids):
                report.add("parent-missing", job.id, f"expected jobs {places}, got {ids}")
            elif not self._again & {job.id, *(parent.id for parent in parents)}:
                self._check(job, parents, report)

    def _check(self, job: Job, parents: list[Job], report: Report) -> None:
        begun = self._first.get(job.id)
        bad = [parent.id for parent in parents if parent.state is not JobState.SUCCEEDED]
        if begun is not None:
            for parent in parents:
                if parent.finished_at is None or begun < parent.finished_at:
                    report.add("started-before-parent", job.id, f"before the end of {parent.id}")
            if bad and job.metadata["policy"] != "run":
                report.add("ran-without-parent", job.id, f"expected {bad} to have succeeded")
        if job.failure == FAILED and not bad and job.id not in self._extended:
            report.add("failed-without-cause", job.id, "expected a parent that failed")


def _origin(made: Mapping[str, str]) -> str:
    return made.get("op") or made.get("parent", "")

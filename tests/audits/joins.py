"""Audits events of jobs that waited for others: none went on too soon, none failed for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .report import Report

if TYPE_CHECKING:
    from .history import Track

Blamed = tuple[str, str, str]
"""A job that failed because of another: the job, the reason, the other."""


def audit_joins(report: Report, tracks: Mapping[str, Track], blamed: Iterable[Blamed]) -> None:
    """Every parent of a job that was joined ended as that job wants it; a parent blamed did not.

    Of parents in partitions that were not read nothing is said.
    """
    for job, track in tracks.items():
        if track.broken or not track.joined:
            continue
        for parent in track.parents & tracks.keys():
            found = tracks[parent].outcomes
            if "succeeded" in found or (track.job.on_parent_failure == "run" and found):
                continue
            if not tracks[parent].broken:
                report.add("joined-early", job, f"expected job {parent} to have ended, got {found}")
        if "open" in track.parents:
            report.add("joined-open", job, "expected it to be closed")
    for job, reason, parent in blamed:
        known = tracks.get(parent)
        if known is None or known.broken:
            continue
        if reason == "parent_missing" or not known.outcomes & {"failed", "cancelled"}:
            report.add("blamed-wrongly", job, f"of job {parent}, which ended {known.outcomes}")

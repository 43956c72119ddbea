"""Audits what Redis holds of jobs that wait for others, against the events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.core.audits.history import Track
from millstream.core.audits.report import Report
from millstream.core.jobs import JOBS

if TYPE_CHECKING:
    from .hot import Hot

DEPENDENT = 6
AWAITED = 16


def audit_links(report: Report, track: Track, raw: bytes, hot: Hot) -> None:
    """Header, place and events say alike whether a job waits for others, and for no strangers."""
    job = track.job
    waits = job.blocked_on == JOBS
    for name, found in (
        ("header", raw[0] == DEPENDENT),
        ("set of parents", job.id in hot.parents),
        ("dependents", job.id in hot.dependents),
    ):
        if found != waits:
            report.add("wait-differs", job.id, f"{name}: expected {waits}, got {found}")
    strangers = hot.parents.get(job.id, set()) - track.parents
    if strangers:
        report.add("parents-differ", job.id, f"expected none beyond its events, got {strangers}")
    if job.id in hot.awaited and not raw[2] & AWAITED:
        report.add("awaited-flag", job.id, "expected it to say that others wait for it")


def audit_awaited(report: Report, hot: Hot, live: set[str]) -> None:
    """Who waits for a job that has ended does so for it to be run again."""
    if hot.leaving != hot.announced:
        expected = f"expected the outbox to tell of {sorted(hot.leaving)}"
        report.add("leaving-differs", "", f"{expected}, got {sorted(hot.announced)}")
    for job, members in hot.awaited.items():
        if job not in live and not all(member.endswith("*") for member in members):
            report.add("awaited-orphan", job, f"expected none that was not told, got {members}")

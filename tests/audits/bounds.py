"""Audits when jobs ran, and how many beside each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from millstream.core import events as ev
from millstream.core.audits.report import Report
from millstream.core.jobs import Job, JobState


class Bounds:
    """No job is queued before its time, no limit per key is passed, no lock is held by two.

    per_key  queue → how many jobs of one concurrency key may run at once
    calm     tag of jobs that nothing disturbed: those start at most `calm_ms` after their time, or
             whenever they do (None)
    """

    def __init__(
        self,
        per_key: Mapping[str, int] | None = None,
        calm: str = "calm",
        calm_ms: int | None = 5000,
    ) -> None:
        self._per_key = per_key or {}
        self._calm = calm
        self._calm_ms = calm_ms
        self._running: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._holders: dict[tuple[str, str], str] = {}
        self._freed: set[str] = set()
        """Jobs that were run again, which takes no lock back."""

    def take(self, record: ev.Record, event: ev.Event, report: Report) -> None:
        """Audit one more event, which the jobs of the report have been told."""
        job = report.jobs.get(record.job)
        if job is None:
            return
        match event:
            case ev.JobQueued(cause="due" | "retry") if record.time < (job.run_at or 0):
                detail = f"expected {job.run_at} or later, got {record.time}"
                report.add("queued-early", record.position, detail)
            case ev.JobStarted() if self._calm in job.tags:
                late = record.time - (job.run_at or record.time)
                if self._calm_ms is not None and late > self._calm_ms:
                    report.add("started-late", record.position, f"by {late} ms")
            case ev.JobRedriven():
                self._freed.add(job.id)
            case ev.JobSubmitted() if type(event) is ev.JobSubmitted:
                self._check_lock(job, event, report)
            case _:
                pass
        self._check_limit(record, job, report)

    def close(self, report: Report) -> None:
        """Nothing is left to say."""

    def _check_lock(self, job: Job, event: ev.JobSubmitted, report: Report) -> None:
        if event.lock is None or event.lock_scope != "unfinished":
            return
        held = self._holders.get((job.queue, event.lock))
        if held is not None and held not in self._freed and not report.jobs[held].terminal:
            report.add("unique-twice", job.id, f"expected {held} to stand for it")
        self._holders[job.queue, event.lock] = job.id

    def _check_limit(self, record: ev.Record, job: Job, report: Report) -> None:
        most = self._per_key.get(job.queue)
        if most is None or job.concurrency_key is None:
            return
        running = self._running[job.queue, job.concurrency_key]
        if job.state is not JobState.RUNNING:
            running.discard(job.id)
        else:
            running.add(job.id)
            if len(running) > most:
                detail = f"expected {most} of key {job.concurrency_key}, got {sorted(running)}"
                report.add("over-limit", record.position, detail)

"""Verbs of operators: reschedule, set_mode, configure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.jobs import JobState
from millstream.core.operating import Mode

from .due import Instant
from .gates import QUEUE
from .log import Fact
from .partition import Partition

MODES: dict[Mode, str] = {
    "open": "queue.resumed",
    "paused": "queue.paused",
    "draining": "queue.draining",
}


class Operating(Partition):
    """What operators do to a queue and its waiting jobs."""

    def reschedule(self, ids: Sequence[str], delay: int, by: dict[str, Any]) -> list[str]:
        """Waiting jobs have another time to run; who could run now already keeps its place."""
        return [self._reschedule(id, self.now.later(delay), by) for id in ids]

    def _reschedule(self, id: str, at: Instant, by: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.state is JobState.RUNNING:
            return "running"
        if job.expired(at.minute):
            return "too_late"
        now = at == self.now
        if now and job.state in (JobState.QUEUED, JobState.BLOCKED):
            return "ready"
        self.withdraw(job)
        self.leave_gates(job)
        self.append("job.rescheduled", job, {**by, "run_at": at})
        if not now:
            self.wait(job, JobState.SCHEDULED, at)
            return "rescheduled"
        self.append("job.queued", job, {"cause": "due"})
        self.enter(job)
        self.bell = True
        return "queued"

    def set_mode(self, mode: Mode, by: dict[str, Any]) -> bool:
        """Whether that changed anything. Who waits hears of it when a pause is over."""
        if mode == self.mode:
            return False
        self.bell = self.bell or self.mode == "paused"
        self.mode = mode
        self.log.append(Fact(MODES[mode], "", 0, by))
        return True

    def configure(self, bounds: dict[str, int | None], body: dict[str, Any]) -> None:
        """Set limits, or take them away (None). What runs counts from the first time on."""
        self.log.append(Fact("queue.configured", "", 0, body))
        fresh = False
        for name, bound in bounds.items():
            known = name in self.gates.bounds
            if bound is None and name == QUEUE:
                self.gates.bounds.pop(name, None)
            elif bound is not None or known:
                self.gates.bounds[name] = bound
                fresh = fresh or not known
        if fresh:
            self._count_running()
        # At which gate it begins is not said; at each the order is.
        waiting = [gate for gate in self.gates.parked if self.gates.parked[gate]]
        for gate in sorted(waiting, key=self._seen_first):
            self.let_in(gate, 100)
        self.bell = True

    def _seen_first(self, gate: str) -> int:
        first = self.gates.parked[gate][0][2]
        return self.seen.index(first) if first in self.seen else len(self.seen)

    def _count_running(self) -> None:
        for _, lane in self.lanes.in_order():
            for entry in lane.entries:
                if entry.owner:
                    for gate in self.gates.of(*self.jobs.live[entry.job].kind):
                        self.gates.passed[gate].add(entry.job)

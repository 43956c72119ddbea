"""The verbs of operators: cancel, redrive, reschedule, mode, purge, inspect, configure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from millstream.core.errors import QueueDraining
from millstream.core.jobs import JobState
from millstream.core.operating import Mode

from .due import Instant
from .gates import Bound
from .jobs import Live
from .partition import Partition

MODES: dict[Mode, str] = {
    "open": "queue.resumed",
    "paused": "queue.paused",
    "draining": "queue.draining",
}


class Ended(NamedTuple):
    """A job to redrive, by the version of the end that somebody read."""

    id: str
    priority: int
    version: int
    spec: bytes


class Standing(NamedTuple):
    """How the queue stands; `oldest`: the call in which the first of those that may run came."""

    mode: Mode
    queued: int
    due: int
    blocked: int
    running: int
    oldest: int | None


class Operating(Partition):
    """What operators and clients ask of a partition that has jobs."""

    def cancel(self, ids: Sequence[str], by: dict[str, Any]) -> list[str]:
        """A waiting job ends at once; of a running one that is requested, once."""
        return [self._cancel(id, by) for id in ids]

    def _cancel(self, id: str, by: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.cancel:
            return "pending"
        if job.state is JobState.RUNNING:
            job.cancel = True
            self.append("job.cancel_requested", job, by)
            return "requested"
        self._cancel_waiting(job, by)
        return "cancelled"

    def _cancel_waiting(self, job: Live, by: dict[str, Any]) -> None:
        self.append("job.cancelled", job, by)
        self.withdraw(job)
        self.end(job)

    def redrive(self, jobs: Sequence[Ended], by: dict[str, Any]) -> list[str]:
        """What has ended runs again from the start, does not expire any more, and holds no lock."""
        if self.mode == "draining":
            raise QueueDraining("default")
        return [self._redrive(job, by) for job in jobs]

    def _redrive(self, ended: Ended, by: dict[str, Any]) -> str:
        id, priority, version, spec = ended
        if id in self.jobs.live:
            return "live"
        if self.jobs.last_version(id, self.clock) not in (None, version):
            return "stale"
        self.jobs.gone.pop(id, None)
        job = Live(id, priority, spec, JobState.QUEUED, version=version, redriven=True)
        self.jobs.live[id] = job
        self.append("job.redriven", job, by)
        self.enter(job)
        self.bell = True
        return "queued"

    def reschedule(self, ids: Sequence[str], at: Instant | int, by: dict[str, Any]) -> list[str]:
        """Waiting jobs run at another time, or so many minutes from now; none is past."""
        at = self.now.later(at) if isinstance(at, int) else at
        at = max(at, self.now)
        return [self._reschedule(id, at, by | {"run_at": at}) for id in ids]

    def _reschedule(self, id: str, at: Instant, body: dict[str, Any]) -> str:
        job = self.jobs.live.get(id)
        if job is None:
            return "missing"
        if job.state is JobState.RUNNING:
            return "running"
        if job.expired(at.minute):
            return "too_late"
        if at == self.now and job.state in (JobState.QUEUED, JobState.BLOCKED):
            return "ready"
        self.withdraw(job)
        self.leave_gates(job)
        self.append("job.rescheduled", job, body)
        if at > self.now:
            self.wait(job, JobState.SCHEDULED, at)
            return "rescheduled"
        self.append("job.queued", job, {"cause": "due"})
        self.enter(job)
        self.bell = True
        return "queued"

    def set_mode(self, mode: Mode, by: dict[str, Any]) -> bool:
        """Whether that changed anything. Who waits for an end of the pause is told."""
        if mode == self.mode:
            return False
        self.bell = self.bell or self.mode == "paused"
        self.mode = mode
        self.tell(MODES[mode], by)
        return True

    def inspect(self) -> Standing:
        """What a lost group held is told as waiting."""
        lanes = [lane for _, lane in self.lanes.in_order()]
        running = sum(len(lane.leased()) for lane in lanes)
        return Standing(
            self.mode,
            sum(len(lane.entries) for lane in lanes) - running,
            len(self.due.at),
            sum(len(gate.waiting) for gate in self.gates.gates.values()),
            running,
            min((lane.waiting()[0].tick for lane in lanes if lane.waiting()), default=None),
        )

    # -- purge --------------------------------------------------------------------

    def purge(
        self, states: Collection[JobState], cursor: int | None, limit: int, by: dict[str, Any]
    ) -> tuple[int | None, int]:
        """Cancel a part of those that wait: (cursor of the next part or None, how many).

        First those that wait for a time or a limit: as few as a test has, all at once. The cursor
        is then the tick of that call: those that may run and did by then come next, `limit` a call.
        """
        count = 0
        if cursor is None:
            count += self._purge_due(states, by)
            if JobState.BLOCKED in states:
                count += self._purge_blocked(by)
            after = self.tick if JobState.QUEUED in states else None
        else:
            found = [
                entry.job
                for _, lane in self.lanes.in_order()
                for entry in lane.waiting()
                if entry.tick <= cursor
            ][:limit]
            for id in found:
                self._cancel_waiting(self.jobs.live[id], by)
            count = len(found)
            after = cursor if count == limit else None
        if count:
            self.tell("queue.purged", by | {"count": count})
        return after, count

    def _purge_due(self, states: Collection[JobState], by: dict[str, Any]) -> int:
        found = [id for id in self.due.order() if self.jobs.live[id].state in states]
        for id in found:
            self._cancel_waiting(self.jobs.live[id], by)
        return len(found)

    def _purge_blocked(self, by: dict[str, Any]) -> int:
        """In the order they began to wait; who is let in by the end of another stays."""
        gates = self.gates.gates.values()
        waits = {id: seq for gate in gates for id, (_, seq) in gate.waiting.items()}
        count = 0
        for id in sorted(waits, key=waits.__getitem__):
            job = self.jobs.live.get(id)
            if job and job.state is JobState.BLOCKED:
                self._cancel_waiting(job, by)
                count += 1
        return count

    # -- limits -------------------------------------------------------------------

    def configure(self, bounds: Mapping[str, Bound], by: dict[str, Any]) -> None:
        """Change limits. Jobs that run count at once, and who waits is let in as it is now."""
        self.tell("queue.configured", by)
        fresh = [self.gates.set(limit, bound) for limit, bound in bounds.items()]
        if any(fresh):
            self._count_running()
        self.let_in_anywhere(10**6, 100)
        self.bell = True

    def _count_running(self) -> None:
        for _, lane in self.lanes.in_order():
            for entry in lane.leased():
                for gate in self.gates.of(self.jobs.live[entry.job]):
                    if not gate.name.startswith("r"):
                        gate.holders.add(entry.job)

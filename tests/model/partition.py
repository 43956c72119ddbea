"""The rooms of a partition together, and the steps that its verbs share."""

from __future__ import annotations

from typing import Any

from millstream.core.jobs import JobState
from millstream.core.operating import Mode

from .due import Due, Instant
from .gates import Gates
from .jobs import Jobs, Live
from .lanes import Lanes
from .locks import Locks
from .log import Fact, Log


class Partition:
    """State of one partition. Verbs are in `verbs.Model`."""

    def __init__(self) -> None:
        self.log = Log()
        self.jobs = Jobs()
        self.lanes = Lanes()
        self.due = Due()
        self.gates = Gates()
        self.locks = Locks()
        self.mode: Mode = "open"
        self.bell = False
        self.seen: list[str] = []
        """Jobs in the order of the server's events of this call, where that is left open."""
        self.clock = 0
        self.tick = 0

    @property
    def now(self) -> Instant:
        """The time of the call that is being answered."""
        return Instant(self.clock, self.tick)

    def begin(self) -> None:
        """Another call comes."""
        self.tick += 2

    def step(self, minutes: int) -> None:
        """Time passes."""
        self.clock += minutes

    # -- the steps of verbs -------------------------------------------------------

    def append(self, type_: str, job: Live, body: dict[str, Any]) -> None:
        """Note what happened to a job: one version more."""
        job.version += 1
        self.log.append(Fact(type_, job.id, job.version, body))

    def enter(self, job: Live) -> None:
        """The job may run: its next start will be the next version."""
        job.state, job.fence = JobState.QUEUED, job.version + 1
        self.lanes.enter(job.priority, job.id)

    def wait(self, job: Live, state: JobState, at: Instant) -> None:
        """The job waits; who sleeps until the first is due must know of an earlier one."""
        job.state, job.fence = state, 0
        if self.due.add(job.id, at, self.clock):
            self.bell = True

    def end(self, job: Live) -> None:
        self.jobs.end(job, self.clock)
        if job.lock:
            self.locks.release(job.lock, job.id)
        self.leave_gates(job)

    def withdraw(self, job: Live) -> None:
        """Take a waiting job from where it waits."""
        if job.state is JobState.QUEUED:
            self.lanes.leave(job.priority, job.id)
        elif job.state is JobState.BLOCKED:
            self.gates.unpark(job.id)
        else:
            self.due.remove(job.id)

    def pass_gates(self, job: Live) -> bool:
        """Whether a job may start; if not it waits at the first gate that is closed to it."""
        for gate in self.gates.of(*job.kind):
            if not self.gates.open(gate, job.id):
                self.append("job.blocked", job, {"on": self.gates.told(gate)})
                job.state, job.fence = JobState.BLOCKED, 0
                self.gates.park(gate, job.id, job.priority, self.log.seq)
                return False
            self.gates.passed[gate].add(job.id)
        return True

    def leave_gates(self, job: Live) -> None:
        """Let go of what a job has passed, gate by gate, each time for whoever is the next."""
        for gate in self.gates.of(*job.kind):
            if job.id in self.gates.passed[gate]:
                self.gates.passed[gate].remove(job.id)
                self.let_in(gate, 10)

    def let_in(self, gate: str, most: int) -> None:
        """Who waits at a gate enters its lane while there is room; who has expired fails."""
        for _ in range(most):
            id = self.gates.next(gate)
            if id is None:
                return
            self.bell = True
            self.gates.unpark(id)
            job = self.jobs.live[id]
            if job.expired(self.clock):
                self.fail(job, "expired")
            else:
                self.gates.passed[gate].add(id)
                self.append("job.queued", job, {"cause": "limit"})
                self.enter(job)

    def promote_due(self, limit: int) -> int:
        """Whose time has come enters its lane, unless it has expired."""
        ready = self.due.ready(self.now, limit)
        for id in ready:
            self.due.remove(id)
            job = self.jobs.live[id]
            if job.expired(self.clock):
                self.fail(job, "expired")
            else:
                cause = "retry" if job.state is JobState.RETRYING else "due"
                self.append("job.queued", job, {"cause": cause})
                self.enter(job)
        return len(ready)

    def fail(self, job: Live, reason: str) -> None:
        self.append("job.failed", job, {"reason": reason})
        self.end(job)

    def cancel_after(self, job: Live) -> None:
        """End a job whose cancellation was requested before."""
        self.append("job.cancelled", job, {})
        self.end(job)

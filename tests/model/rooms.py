"""The rooms of a partition together: its state, and how it is changed in one place."""

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


class Rooms:
    """State of one partition.

    sweep  the order in which crowded gates are looked at by who looks at all: any is right
    """

    def __init__(self) -> None:
        self.log = Log()
        self.jobs = Jobs()
        self.lanes = Lanes()
        self.due = Due()
        self.gates = Gates()
        self.locks = Locks()
        self.mode: Mode = "open"
        self.bell = False
        self.clock = 0
        self.tick = 0
        self.sweep: list[str] = []

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

    def append(self, type_: str, job: Live, body: dict[str, Any]) -> None:
        """Note what happened to a job: one version more."""
        job.version += 1
        self.log.append(Fact(type_, job.id, job.version, body))

    def tell(self, type_: str, body: dict[str, Any]) -> None:
        """Note what happened to the whole queue."""
        self.log.append(Fact(type_, "", 0, body))

    def enter(self, job: Live) -> None:
        """The job may run: its next start will be the next version."""
        job.state, job.fence = JobState.QUEUED, job.version + 1
        self.lanes.enter(job.priority, job.id, self.tick)

    def wait(self, job: Live, state: JobState, at: Instant) -> None:
        """The job waits; who sleeps until the first is due must know of an earlier one."""
        job.state, job.fence = state, 0
        if self.due.add(job.id, at, self.clock):
            self.bell = True

    def withdraw(self, job: Live) -> None:
        """Take a waiting job from wherever it waits."""
        if job.state is JobState.QUEUED:
            self.lanes.leave(job.priority, job.id)
        elif job.state is JobState.BLOCKED:
            for gate in self.gates.gates.values():
                gate.waiting.pop(job.id, None)
        else:
            self.due.remove(job.id)

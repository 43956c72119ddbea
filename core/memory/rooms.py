"""The rooms of a partition together: its state, and how it is changed in one place."""

from __future__ import annotations

from ..jobs import JobState
from ..operating import Mode
from .clock import Clock
from .due import Due
from .gates import Gates
from .jobs import Jobs, Live
from .lanes import Lanes
from .links import Links
from .locks import Locks
from .log import Log


class Rooms:
    """State of one partition.

    sweep  the order in which crowded gates are looked at by who looks at all: any is right
    once   what was answered to commands that may come again, and until when (ms)
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self.log = Log(name, clock)
        self.jobs = Jobs()
        self.lanes = Lanes()
        self.due = Due()
        self.gates = Gates()
        self.locks = Locks()
        self.links = Links()
        self.mode: Mode = "open"
        self.bell = False
        self.sweep: list[str] = []
        self.once: dict[str, tuple[int, object]] = {}

    @property
    def now(self) -> int:
        """The time of the call that is being answered."""
        return self.clock.now

    def append(self, type: str, job: Live, body: bytes) -> None:
        """Note what happened to a job: one version more."""
        job.version += 1
        self.log.add(type, job.id, job.version, body)

    def tell(self, type: str, body: bytes) -> None:
        """Note what happened to the whole queue."""
        self.log.add(type, "", 0, body)

    def enter(self, job: Live) -> None:
        """The job may run: its next start will be the next version."""
        job.state, job.fence = JobState.QUEUED, job.version + 1
        self.lanes.enter(job.priority, job.id, self.now)

    def wait(self, job: Live, state: JobState, at: int) -> None:
        """The job waits; who sleeps until the first is due must know of an earlier one."""
        job.state, job.fence = state, 0
        if self.due.add(job.id, at):
            self.bell = True

    def withdraw(self, job: Live) -> None:
        """Take a waiting job from wherever it waits."""
        if job.state is JobState.QUEUED:
            self.lanes.leave(job.priority, job.id)
        elif job.depends:
            self.stop_depending(job)
        elif job.state is JobState.BLOCKED:
            for gate in self.gates.gates.values():
                gate.waiting.pop(job.id, None)
        else:
            self.due.remove(job.id)

    def stop_depending(self, job: Live) -> None:
        """The job waits for no others; those it would have waited on for hear that it left."""
        left = self.links.forget(job.id)
        if job.head.on_parent_failure == "wait":
            self.links.send(left, job.id, "left")
        job.depends, job.hold = False, ""

    def answered(self, command: str) -> object | None:
        """What was answered to that command, if it came before."""
        until, answer = self.once.get(command, (0, None))
        return answer if self.now < until else None

    def answer(self, command: str, reply: object, ms: int) -> None:
        """Remember the answer to a command for so long."""
        self.once[command] = self.now + ms, reply

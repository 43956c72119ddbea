"""Jobs in processes, whose worker or whose process is killed at a named point, once for each."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Context, Registry
from millstream.consumers.processes.child import Child
from millstream.consumers.processes.messages import Run
from millstream.consumers.processes.pool import Processes
from millstream.core.queue import Finish, PartitionQueue

registry = Registry()

IN_WORKER = {
    "before a process starts": 1,
    "after a process started": 1,
    "before the job is sent": 1,
    "when the job has begun": 2,
    "before the verdict is sent": 2,
    "after the verdict was sent": 1,
}
"""Where the worker dies → how many times at most the handler then begins."""

IN_PROCESS = {
    "before the step is kept": ["crashed"],
    "after the step is kept": ["crashed"],
    "before the answer": ["crashed"],
    "in the midst of the answer": ["crashed"],
    "after the answer": [],
    "with the next job in the pipe": [],
}
"""Where the process dies → what the log tells of it."""


class Fated(msgspec.Struct):
    """`folder` is where each job notes what it does."""

    folder: str
    point: str

    def note(self, word: str) -> None:
        with Path(self.folder, self.point).open("a") as file:
            file.write(word + "\n")

    def told(self) -> list[str]:
        notes = Path(self.folder, self.point)
        return notes.read_text().split("\n")[:-1] if notes.exists() else []

    def reach(self, point: str) -> bool:
        """Whether this is the moment to die; says so once."""
        if point != self.point or "killed" in self.told():
            return False
        self.note("killed")
        return True

    def wait_for_next(self, point: str) -> None:
        """At that point, until this process was told of another job, and could have begun it."""
        if point == self.point and "killed" not in self.told():
            self.note("answered")
            told_of_job.wait(20)
            threading.Event().wait(0.2)

    def die_at(self, point: str) -> None:
        if self.reach(point):
            os.kill(os.getpid(), signal.SIGKILL)


class _Spec(msgspec.Struct):
    class _Data(msgspec.Struct):
        data: Fated

    payload: _Data


@registry.job("fated", executor="process")
def fated(ctx: Context, task: Fated) -> str:
    global current
    current = task
    task.note(f"begun by {os.getppid()}")
    return ctx.sync.step("effect", lambda: (task.note("effect"), "done")[1])


@registry.job("fated.next", executor="process")
def follower(ctx: Context, task: Fated) -> None:
    """Comes behind one that is fated."""


told_of_job = threading.Event()
current = Fated("", "")
"""The job of this process: workers run one at a time here."""

run, run_in, start = Processes.run, Child.run, Child.start
finish, checkpoint = PartitionQueue.finish, PartitionQueue.checkpoint


async def fatal_run(self: Processes, attempt: Any, begun: Callable[[], object]) -> Finish:
    global current
    current = msgspec.json.decode(attempt.lease.spec, type=_Spec).payload.data
    return await run(self, attempt, begun)


async def fatal_start(hello: Any) -> Child:
    current.die_at("before a process starts")
    child = await start(hello)
    current.die_at("after a process started")
    return child


async def fatal_run_in(self: Child, lease: Any, begun: Callable[[], object]) -> Any:
    current.die_at("before the job is sent")

    def fatal_begun() -> None:
        begun()
        current.die_at("when the job has begun")

    return await run_in(self, lease, fatal_begun)


async def fatal_finish(self: PartitionQueue, verdicts: Sequence[Finish]) -> list[bool]:
    current.die_at("before the verdict is sent")
    done = await finish(self, verdicts)
    current.die_at("after the verdict was sent")
    return done


async def fatal_checkpoint(self: PartitionQueue, steps: Any) -> Any:
    current.die_at("before the step is kept")
    kept = await checkpoint(self, steps)
    current.die_at("after the step is kept")
    return kept


def fatal_write(descriptor: int, data: bytes) -> None:
    if b"Ended" in data:
        current.die_at("before the answer")
        if current.reach("in the midst of the answer"):
            os.write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    told_of_job.clear()  # before: the next job may be here before the answer was looked at again
    write(descriptor, data)
    if b"Ended" in data:
        current.die_at("after the answer")
        current.wait_for_next("with the next job in the pipe")
        current.die_at("with the next job in the pipe")


def fatal_to_child(body: bytes) -> Any:
    message = to_child(body)
    if isinstance(message, Run):
        told_of_job.set()
    return message


program: Any = sys.modules["__main__"]
if "FATED" not in os.environ:
    pass  # imported by the test
elif hasattr(program, "_claim_pipes"):  # this is a process of a worker
    PartitionQueue.checkpoint = fatal_checkpoint
    write = program._write
    program._write = fatal_write
    to_child = program.to_child
    program.to_child = fatal_to_child
else:
    Processes.run = fatal_run
    Child.start = fatal_start
    Child.run = fatal_run_in
    PartitionQueue.finish = fatal_finish

"""A handler with steps that kills its process at a named point, once."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Context, Registry
from millstream.core.queue import PartitionQueue
from millstream.core.stepping import Checkpoint

registry = Registry()
checkpoint = PartitionQueue.checkpoint

POINTS = {
    "before the effect": 1,
    "after the effect": 2,
    "before charge is kept": 2,
    "after charge is kept": 1,
    "between the steps": 1,
    "before submit-1 is kept": 1,
    "after submit-1 is kept": 1,
    "before sleep-1 is kept": 1,
    "after sleep-1 is kept": 1,
    "at the end": 1,
}
"""Where it dies → how often the first step's effect is then seen."""


class Fated(msgspec.Struct):
    """`folder` is where each job notes what it does."""

    folder: str
    point: str

    def notes(self) -> Path:
        return Path(self.folder, self.point)

    def note(self, word: str) -> None:
        with self.notes().open("a") as file:
            file.write(word + "\n")

    def reach(self, point: str) -> None:
        if point == self.point and "killed" not in self.told():
            self.note("killed")
            os.kill(os.getpid(), signal.SIGKILL)

    def told(self) -> list[str]:
        return self.notes().read_text().split() if self.notes().exists() else []


@registry.job("fated")
async def fated(ctx: Context, task: Fated) -> str:
    """Charge, submit, sleep; one such job runs in a process at a time."""

    async def fatal(self: PartitionQueue, steps: Sequence[Checkpoint]) -> Any:
        for step in steps:
            task.reach(f"before {step.step} is kept")
        kept = await checkpoint(self, steps)
        for step in steps:
            task.reach(f"after {step.step} is kept")
        return kept

    async def charge() -> str:
        task.reach("before the effect")
        task.note("charged")
        task.reach("after the effect")
        return "a receipt"

    PartitionQueue.checkpoint = fatal
    receipt = await ctx.step("charge", charge)
    task.reach("between the steps")
    await ctx.submit("mail", task.point, queue="mails")
    await ctx.sleep(0.05)
    task.reach("at the end")
    return receipt

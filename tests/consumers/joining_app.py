"""A worker that kills itself where the ends of jobs are told, once at each named point."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from millstream.consumers import Context, Registry
from millstream.core import joining
from millstream.core.linking import Ended, Joined
from millstream.core.queue import Finish, PartitionQueue

POINTS = (
    "before finish",
    "after finish",
    "after collect",
    "before join",
    "after join",
    "before settle",
    "after settle",
)
"""Between two calls of Redis each, but for those that follow each other at once."""

FOLDER = "JOINING_TEST_FOLDER"

registry = Registry()
finish, collect = PartitionQueue.finish, PartitionQueue.collect
join, settle = PartitionQueue.join, PartitionQueue.settle
joining.LEFT_BEHIND_MS = 300


def reach(point: str) -> None:
    """Die here, unless some worker did."""
    try:
        (Path(os.environ[FOLDER]) / point).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


async def fatal_finish(self: PartitionQueue, verdicts: Sequence[Finish]) -> list[bool]:
    reach("before finish")
    accepted = await finish(self, verdicts)
    reach("after finish")
    return accepted


async def fatal_collect(self: PartitionQueue, limit: int, idle_ms: int = 0) -> list[Ended]:
    found = await collect(self, limit, idle_ms)
    if found:
        reach("after collect")
    return found


async def fatal_join(self: PartitionQueue, news: Mapping[str, Any]) -> Joined:
    reach("before join")
    joined = await join(self, news)
    reach("after join")
    return joined


async def fatal_settle(self: PartitionQueue, entries: Sequence[str]) -> None:
    reach("before settle")
    await settle(self, entries)
    reach("after settle")


if FOLDER in os.environ:
    PartitionQueue.finish = fatal_finish
    PartitionQueue.collect = fatal_collect
    PartitionQueue.join = fatal_join
    PartitionQueue.settle = fatal_settle


@registry.job("linked")
async def linked(ctx: Context, task: str) -> str:
    """Fail where the payload says so."""
    if task == "fail":
        raise ValueError("as was asked for")
    return task

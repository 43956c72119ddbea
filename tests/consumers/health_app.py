"""Handlers that harm their worker, for workers that tests start as processes."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Context, Registry
from millstream.consumers.fetching import Fetcher

registry = Registry()
leaked: list[bytes] = []


class Task(msgspec.Struct):
    """Note the start in `notes`; work until the file `go` exists."""

    notes: str
    go: str


def note(ctx: Context, task: Task) -> None:
    with Path(task.notes).open("a") as file:
        file.write(f"{os.getpid()} {ctx.attempt} {ctx.crashes} {ctx.fence}\n")


@registry.job("leak")
async def leak(ctx: Context, task: Task) -> int:
    """Keep 60 MB for ever."""
    leaked.append(os.urandom(60_000_000))
    return os.getpid()


@registry.job("wait")
async def wait(ctx: Context, task: Task) -> int:
    note(ctx, task)
    while not await asyncio.to_thread(Path(task.go).exists):
        await asyncio.sleep(0.01)
    return os.getpid()


@registry.job("wait.thread")
def wait_in_thread(ctx: Context, task: Task) -> int:
    note(ctx, task)
    wait_here(task)
    return os.getpid()


@registry.job("block")
async def block(ctx: Context, task: Task) -> None:
    """Hold the loop up, but for what runs in threads."""
    await asyncio.sleep(0.2)  # the others have begun by then
    note(ctx, task)
    wait_here(task)


def wait_here(task: Task) -> None:
    while not Path(task.go).exists():
        time.sleep(0.01)


@registry.job("hang")
async def hang(ctx: Context, payload: object) -> int:
    """From the next claim on this worker's fetch loop does nothing any more."""

    async def nothing(*_: Any) -> None:
        await asyncio.Event().wait()

    Fetcher._claim = nothing  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return os.getpid()

"""Handlers for workers that tests start as processes; what they do is noted in files."""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec

from millstream.consumers import Context, Registry

registry = Registry()


class Task(msgspec.Struct):
    """Note the start in `notes`, then work until the file `go` exists."""

    notes: str
    go: str


def note(ctx: Context, task: Task) -> None:
    with Path(task.notes).open("a") as file:
        file.write(f"{os.getpid()} {ctx.attempt} {ctx.crashes} {ctx.fence}\n")


@registry.job("proc.wait")
async def wait(ctx: Context, task: Task) -> int:
    note(ctx, task)
    while not await asyncio.to_thread(Path(task.go).exists):
        await asyncio.sleep(0.01)
    return os.getpid()


@registry.job("proc.thread")
def wait_in_thread(ctx: Context, task: Task) -> int:
    note(ctx, task)
    while not Path(task.go).exists():
        time.sleep(0.01)
    return os.getpid()


@registry.job("proc.block")
async def block(ctx: Context, task: Task) -> None:
    note(ctx, task)
    time.sleep(60)  # noqa: ASYNC251 (a handler that should not)


@registry.job("proc.suicide")
async def suicide(ctx: Context, task: Task) -> None:
    note(ctx, task)
    os.kill(os.getpid(), signal.SIGKILL)


@registry.job("proc.brief")
async def brief(ctx: Context, task: Task) -> None:
    """Note the start, and work for a moment."""
    note(ctx, task)
    await asyncio.sleep(0.02)


@registry.job("proc.tick")
async def tick(ctx: Context, payload: object) -> None:
    """What a schedule submits."""

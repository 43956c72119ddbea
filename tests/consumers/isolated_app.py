"""Handlers that run in processes, and do what no handler should."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Context, Fail, Registry, Retry, Snooze

registry = Registry()


class Task(msgspec.Struct):
    """`notes`: a file for what a handler has to tell; `go`: it waits until that file exists."""

    notes: str = ""
    go: str = ""
    how: str = ""

    def note(self, word: object) -> None:
        with Path(self.notes).open("a") as file:
            file.write(f"{word}\n")

    def told(self) -> list[str]:
        notes = Path(self.notes)
        return notes.read_text().split() if notes.exists() else []

    def forget(self) -> None:
        Path(self.notes).unlink(missing_ok=True)

    def let_go(self, whom: str = "") -> None:
        Path(self.go + whom).touch()

    def may_go(self, whom: str = "") -> bool:
        return Path(self.go + whom).exists()


@registry.job("iso.pid", executor="process")
def pid(ctx: Context, payload: Any) -> int:
    return os.getpid()


@registry.job("iso.async", executor="process")
async def on_a_loop(ctx: Context, payload: int) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"payload": payload, "attempt": ctx.attempt, "fence": ctx.fence, "pid": os.getpid()}


@registry.job("iso.verdict", executor="process", max_attempts=3, non_retryable=(KeyError,))
def verdict(ctx: Context, payload: str) -> Any:
    match payload:
        case "retry":
            raise Retry("not yet", after=60)
        case "snooze":
            raise Snooze(60)
        case "fail":
            raise Fail("never")
        case "key":
            raise KeyError("hopeless")
        case "print":
            print("to stdout")
            os.write(1, b"to descriptor 1\n")
            return sys.stdin.read()
        case "object":
            return object()
        case "large":
            return "x" * 5000
        case "exit":
            sys.exit(3)
        case _:
            raise ValueError(payload)


@registry.job("iso.die", executor="process")
def die(ctx: Context, task: Task) -> None:
    if task.notes:
        task.note(os.getpid())
    match task.how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(7)
        case _:
            ctypes.string_at(0)  # a null pointer


@registry.job("iso.wait", executor="process")
async def wait(ctx: Context, task: Task) -> int:
    """Until `go` exists; tells that it was interrupted."""
    task.note(os.getpid())
    try:
        while not task.may_go():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        task.note("interrupted")
        raise
    return os.getpid()


@registry.job("iso.leave", executor="process")
async def leave(ctx: Context, task: Task) -> int:
    """Leaves something behind that holds up the loop of its process for ever, once it may go."""
    loop = asyncio.get_running_loop()

    def hang() -> None:
        if not task.may_go():
            loop.call_later(0.01, hang)
            return
        task.note("hangs")
        time.sleep(600)  # the handler has long ended by then

    hang()
    return os.getpid()


@registry.job("iso.stubborn", executor="process")
def stubborn(ctx: Context, task: Task) -> None:
    """Never ends, and does not look at ctx.cancelled. `program` runs beside it."""
    program = subprocess.Popen(["sleep", "600"])
    task.note(f"{os.getpid()} {program.pid}")
    while True:
        time.sleep(0.01)


@registry.job("iso.hog", executor="process")
def hog(ctx: Context, task: Task) -> None:
    """Holds the interpreter, so that no other thread of its process has a turn."""
    task.note(os.getpid())
    sum(range(10**12))


@registry.job("iso.polite", executor="process")
def polite(ctx: Context, task: Task) -> None:
    """A plain function that looks whether it is to stop."""
    task.note(os.getpid())
    while not ctx.cancelled:
        time.sleep(0.01)
    task.note("told")


@registry.job("iso.progress", executor="process")
def progress(ctx: Context, task: Task) -> None:
    ctx.progress(1, 4, message="begun")
    while not task.may_go():
        time.sleep(0.01)


@registry.job("iso.deadline", executor="process", timeout=50)
def deadline(ctx: Context, payload: Any) -> float:
    assert ctx.remaining is not None
    return ctx.remaining


@registry.job("iso.steps", executor="process")
def steps(ctx: Context, task: Task) -> str:
    """A step, a death, and the step's result again; then a submission and a sleep."""
    found = ctx.sync.step("once", lambda: (task.note("done"), os.getpid())[1], returns=int)
    if ctx.crashes == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    assert found != os.getpid(), "the result of the process that died"
    job = ctx.sync.submit("iso.pid", None)
    ctx.sync.sleep(0.05)
    return job


@registry.job("iso.async-steps", executor="process")
async def async_steps(ctx: Context, payload: Any) -> list[int]:
    async def there() -> int:
        return os.getpid()

    return [await ctx.step("one", there), await ctx.step("two", os.getpid)]


@registry.job("iso.grow", executor="process")
def grow(ctx: Context, megabytes: int) -> int:
    kept.append(b"x" * (megabytes * 2**20))
    return os.getpid()


kept: list[bytes] = []


@registry.job("loop.neighbour")
async def neighbour(ctx: Context, task: Task) -> list[int]:
    task.note(os.getpid())
    while not task.may_go():
        await asyncio.sleep(0.01)
    return [os.getpid(), ctx.crashes]


@registry.job("mix.loop")
async def in_the_mix(ctx: Context, payload: Any) -> None:
    await asyncio.sleep(0.02)


@registry.job("mix.process", executor="process", timeout=0.5)
def in_the_mix_apart(ctx: Context, payload: int) -> None:
    """One in thirty takes longer than it may, the first time."""
    time.sleep(60 if payload % 30 == 0 and ctx.attempt == 1 else 0.01)


@registry.job("loop.poison")
async def poison(ctx: Context, task: Task) -> None:
    """Waits for its neighbours, the first time, and takes them along."""
    if ctx.crashes == 0:
        while not task.may_go(".poison"):
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("ISOLATED_APP") == "broken" and Path(os.environ["ISOLATED_FLAG"]).exists():
    raise RuntimeError("this app does not load any more")

"""Handlers of all kinds. Each notes what it did before it says so: those notes survive its death.

CHAOS_FOLDER: where each process has a file of notes of its own, see `tests.audits.effects`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from millstream.consumers import Context, Fail, Retry, Snooze, job
from millstream.core.retry import Backoff
from tests.audits.effects import Note

QUICKLY = Backoff(kind="fixed", delay=0.2, jitter=0.5)

_NOTES = os.open(
    Path(os.environ["CHAOS_FOLDER"]) / f"notes-{os.getpid()}-{time.time_ns()}.jsonl",
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    0o600,
)


def note(ctx: Context, what: str, step: str = "") -> None:
    """One write, which the kernel has when it returns: a kill does not take it back."""
    line = msgspec.json.encode(Note(ctx.job_id, ctx.fence, what, step, time.time()))
    os.write(_NOTES, line + b"\n")


def began(ctx: Context) -> None:
    note(ctx, "began")


def done(ctx: Context) -> dict[str, int]:
    """The result of every handler: by which lease it was done."""
    note(ctx, "done")
    return {"fence": ctx.fence}


@job("chaos.quick")
async def quick(ctx: Context, payload: Any) -> dict[str, int]:
    """Nothing but be there."""
    began(ctx)
    return done(ctx)


@job("chaos.slow", backoff=QUICKLY)
async def slow(ctx: Context, payload: float) -> dict[str, int]:
    """Take as many seconds as the payload says."""
    began(ctx)
    for part in range(5):
        ctx.progress(part, 5, message=f"part {part}")
        await asyncio.sleep(payload / 5)
    return done(ctx)


@job("chaos.thread", backoff=QUICKLY)
def thread(ctx: Context, payload: float) -> dict[str, int]:
    """The same in a thread."""
    began(ctx)
    time.sleep(payload)
    return done(ctx)


@job("chaos.blocking", backoff=QUICKLY)
async def blocking(ctx: Context, payload: float) -> dict[str, int]:
    """Block the loop, and with it all other handlers of the worker."""
    began(ctx)
    time.sleep(payload)  # noqa: ASYNC251 (what is not to be done, done)
    return done(ctx)


@job("chaos.flaky", backoff=QUICKLY)
async def flaky(ctx: Context, payload: int) -> dict[str, int]:
    """Fail as many attempts as the payload says."""
    began(ctx)
    if ctx.attempt <= payload:
        if payload % 2:
            raise Retry("not yet", after=0.3)
        raise RuntimeError(f"attempt {ctx.attempt} of {payload} that fail")
    return done(ctx)


@job("chaos.fatal", backoff=QUICKLY)
async def fatal(ctx: Context, payload: int) -> None:
    """Give up at once."""
    began(ctx)
    raise Fail(f"no use, for reason {payload % 5}")


@job("chaos.late", backoff=QUICKLY, timeout=0.3, max_attempts=2)
async def late(ctx: Context, payload: None) -> None:
    """Never come to an end in time."""
    began(ctx)
    await asyncio.sleep(600)


@job("chaos.snooze", backoff=QUICKLY)
async def snooze(ctx: Context, payload: float) -> dict[str, int]:
    """Ask to be called again until it is as late as the payload says (seconds since 1970)."""
    began(ctx)
    if time.time() < payload:
        raise Snooze(0.4)
    return done(ctx)


@job("chaos.steps", backoff=QUICKLY)
async def steps(ctx: Context, payload: int) -> dict[str, int]:
    """Two steps, a sleep, and as many steps more as the payload says; it fails once on its way."""
    began(ctx)
    for name in ("charge", "pack"):
        await ctx.step(name, _step, ctx, name)
    await ctx.sleep(0.3)
    for number in range(payload):
        await ctx.step(f"part-{number}", _step, ctx, f"part-{number}")
    if payload % 3 == 0 and ctx.attempt == 1:
        raise RuntimeError("fails after its steps")
    return done(ctx)


async def _step(ctx: Context, name: str) -> str:
    note(ctx, "step", name)
    await asyncio.sleep(0.01)
    return name


@job("chaos.thread-steps", backoff=QUICKLY)
def thread_steps(ctx: Context, payload: int) -> dict[str, int]:
    """Steps and a sleep of a plain function."""
    began(ctx)
    ctx.sync.step("charge", _plain_step, ctx, "charge")
    ctx.sync.sleep(0.2)
    ctx.sync.step("pack", _plain_step, ctx, "pack")
    return done(ctx)


def _plain_step(ctx: Context, name: str) -> str:
    note(ctx, "step", name)
    return name


@job("chaos.parent", backoff=QUICKLY)
async def parent(ctx: Context, payload: int) -> dict[str, int]:
    """Submit that many jobs into another queue."""
    began(ctx)
    for number in range(payload):
        made = {"parent": ctx.job_id, "place": str(number)}
        await ctx.submit("chaos.quick", number, queue="side", metadata=made)
    return done(ctx)


@job("chaos.gather", backoff=QUICKLY)
async def gather(ctx: Context, payload: int) -> dict[str, int]:
    """Submit that many jobs, and one that runs when they have ended."""
    began(ctx)
    children: list[str] = []
    for number in range(payload):
        made = {"parent": ctx.job_id, "place": str(number)}
        children.append(await ctx.submit("chaos.quick", number, queue="side", metadata=made))
    made = {
        "parent": ctx.job_id,
        "place": str(payload),
        "after": ",".join(map(str, range(payload))),
        "policy": "run",
    }
    await ctx.submit("chaos.quick", depends_on=children, on_parent_failure="run", metadata=made)
    return done(ctx)


@job("chaos.process", backoff=QUICKLY, executor="process")
def process(ctx: Context, payload: float) -> dict[str, int]:
    """Compute in a process of its own, for so many seconds; a step is done there, too."""
    began(ctx)
    ctx.sync.step("charge", _plain_step, ctx, "charge")
    until = time.monotonic() + payload
    ctx.progress(0, 1, message="computing")
    while time.monotonic() < until and not ctx.cancelled:
        pass
    return done(ctx)


@job("chaos.endless", backoff=QUICKLY, executor="process", timeout=1.0, max_attempts=2)
def endless(ctx: Context, payload: None) -> None:
    """Compute until it is killed."""
    began(ctx)
    while True:
        pass


@job("chaos.crash", backoff=QUICKLY, executor="process")
async def crash(ctx: Context, payload: int) -> dict[str, int]:
    """Take its process with it, as often as the payload says."""
    began(ctx)
    if ctx.crashes < payload:
        os.kill(os.getpid(), signal.SIGSEGV)
    return done(ctx)


@job("chaos.poison", backoff=QUICKLY)
async def poison(ctx: Context, payload: None) -> None:
    """Take its worker with it, each time."""
    began(ctx)
    os.kill(os.getpid(), signal.SIGKILL)

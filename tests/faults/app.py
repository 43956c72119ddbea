"""Handlers the fault tests run in real worker processes."""

import asyncio
from pathlib import Path

from millstream.consumers import Context, job
from millstream.core.retry import Backoff


@job("fault.quick")
async def quick(ctx: Context, payload: int) -> int:
    """Echo the payload at once."""
    return payload


@job("fault.slow")
async def slow(ctx: Context, payload: float) -> None:
    """Take as many seconds as the payload says."""
    await asyncio.sleep(payload)


@job("fault.held")
async def held(ctx: Context, payload: str) -> None:
    """Work until the file that the payload names is there."""
    while not await asyncio.to_thread(Path(payload).exists):
        await asyncio.sleep(0.02)


@job("fault.flaky", backoff=Backoff(delay=0.1, jitter=0))
async def flaky(ctx: Context, payload: int) -> int:
    """Fail at the first attempt."""
    if ctx.attempt == 1:
        raise RuntimeError("the first attempt fails")
    return payload

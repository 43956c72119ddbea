"""Handlers the fault tests run in real worker processes."""

import asyncio

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


@job("fault.flaky", backoff=Backoff(delay=0.1, jitter=0))
async def flaky(ctx: Context, payload: int) -> int:
    """Fail at the first attempt."""
    if ctx.attempt == 1:
        raise RuntimeError("the first attempt fails")
    return payload

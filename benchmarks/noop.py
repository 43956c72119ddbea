"""Handlers that do nothing, so that what is measured is the scheduler."""

import time

from millstream.consumers import Context, job


@job("bench.noop")
async def noop(ctx: Context, payload: object) -> None:
    """Return at once."""


@job("bench.process", executor="process")
def in_process(ctx: Context, payload: object) -> None:
    """Return at once, from another process."""


@job("bench.stamp")
async def stamp(ctx: Context, payload: int) -> int:
    """Nanoseconds from the moment in the payload (CLOCK_MONOTONIC of this host) to now."""
    return time.monotonic_ns() - payload

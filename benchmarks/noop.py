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


def _stepping(steps: int) -> None:
    """Register a handler that does so many steps, one after the other, each of which does nothing.

    Its results are as small as results are.
    """
    names = [f"step-{number}" for number in range(steps)]

    @job(f"bench.steps-{steps}")
    async def handler(ctx: Context, payload: None) -> None:  # pyright: ignore[reportUnusedFunction]
        for name in names:
            await ctx.step(name, _nothing)


async def _nothing() -> int:
    return 1


for number in (0, 1, 10):
    _stepping(number)

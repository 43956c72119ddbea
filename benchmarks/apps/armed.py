"""The handler of `bare`, with a timeout that is armed for each job and never reached."""

from millstream.consumers import Context, job


@job("bench.noop", timeout=60)
async def noop(ctx: Context, payload: object) -> None:
    """Return at once."""

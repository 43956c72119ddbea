"""One handler that does nothing, and nothing else."""

from millstream.consumers import Context, job


@job("bench.noop")
async def noop(ctx: Context, payload: object) -> None:
    """Return at once."""

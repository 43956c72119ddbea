"""The handler of `bare`, with rules for failures that never come."""

from millstream.consumers import Context, job
from millstream.core.retry import Backoff


@job(
    "bench.noop",
    max_attempts=20,
    backoff=Backoff("linear", delay=2, max=60),
    non_retryable=[ValueError],
)
async def noop(ctx: Context, payload: object) -> None:
    """Return at once."""

"""A handler beside that of `bare` which runs in a process."""

from millstream.consumers import Context, job


@job("bench.process", executor="process")
def in_process(ctx: Context, payload: object) -> None:
    """Return at once, from another process."""

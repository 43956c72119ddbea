"""Handlers beside that of `bare` which do steps, sleep, submit and tell their progress."""

from millstream.consumers import Context, job


async def _nothing() -> int:
    return 1


@job("bench.stepping")
async def stepping(ctx: Context, payload: object) -> None:
    """Do all that a handler may do besides returning."""
    ctx.progress(0, 2)
    await ctx.step("one", _nothing)
    await ctx.submit("bench.noop")
    await ctx.sleep(hours=1)


@job("bench.stepping-thread")
def in_thread(ctx: Context, payload: object) -> None:
    """The same from a thread."""
    ctx.progress(1, 2)
    ctx.sync.step("one", _nothing)

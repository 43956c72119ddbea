"""Two hundred types of each executor, beside the one of `bare`."""

from typing import get_args

from millstream.consumers import Context, job
from millstream.consumers.handlers import Executor


def _register(executor: Executor, number: int) -> None:
    name = f"bench.{executor}-{number}"

    async def on_loop(ctx: Context, payload: int) -> int:
        return payload

    def elsewhere(ctx: Context, payload: int) -> int:
        return payload

    job(name, executor=executor)(on_loop if executor == "loop" else elsewhere)


for kind in get_args(Executor):
    for count in range(200):
        _register(kind, count)

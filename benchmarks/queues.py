"""One worker that serves a thousand queues: its speed, and what it costs when nothing happens."""

import time

import anyio

from millstream.core import codec
from millstream.core.events import JobSubmitted, body_of
from millstream.core.ids import new_ids
from millstream.core.queue import NewJob

from .bench import NOOP_APP, Bench, process_seconds, stage
from .figures import Figure
from .jobs import PAYLOAD
from .work import CONCURRENCY

QUEUES = 1000
EACH = 50
IDLE = 10


async def thousand() -> list[Figure]:
    """Jobs/s over a thousand queues with some jobs each; then CPU while all are empty."""
    names = [f"queue-{number}" for number in range(QUEUES)]
    async with stage() as bench:
        for name in names:
            await bench.directory.register(name)
            await _fill(bench, name)
        await bench.at_rest()
        begin = time.perf_counter()
        with bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY, queues="*") as worker:
            while await _left(bench, names):
                await anyio.sleep(0.1)
            took = time.perf_counter() - begin
            await anyio.sleep(2)
            redis, own = bench.valkey_cpu(), process_seconds(worker.pid)
            await anyio.sleep(IDLE)
            redis, own = bench.valkey_cpu() - redis, process_seconds(worker.pid) - own
    return [
        Figure("1 000 queues, one worker, its start included", QUEUES * EACH / took, "jobs/s"),
        Figure("1 000 queues, idle: worker CPU", own / IDLE * 100, "%"),
        Figure("1 000 queues, idle: Redis CPU", redis / IDLE * 100, "%"),
    ]


async def _fill(bench: Bench, queue: str) -> None:
    spec = JobSubmitted("bench.noop", payload=codec.wrap(PAYLOAD))
    body = body_of(spec)
    jobs = [NewJob(id, spec, body) for id in new_ids(queue, EACH)]
    await bench.directory.queue(queue).submit(jobs)


async def _left(bench: Bench, names: list[str]) -> int:
    """How many ready entries there are, of all queues."""
    pipeline = bench.redis.pipeline(transaction=False)
    for name in names:
        pipeline.xlen(bench.keys.ready(name, 5))
    return sum(await pipeline.execute())

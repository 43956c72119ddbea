"""How fast events become tables, and the whole pipeline with every role running."""

import time

import anyio
import asyncpg

from millstream.core.events import JobSucceeded, body_of
from millstream.core.queue import CHEAP_BATCH, Finish
from millstream.projections.migrations import migrate

from .bench import NOOP_APP, QUEUE, Bench, process_seconds, stage
from .figures import Figure
from .jobs import fill
from .roles import projector
from .work import CONCURRENCY


async def projection() -> list[Figure]:
    """A log of finished jobs, three events each, into the tables."""
    jobs = 100_000
    async with stage() as bench:
        await migrate(bench.settings.postgres_dsn)
        target = await finished_log(bench, jobs)
        with projector(bench) as pid:
            rate = await projected(bench, target)
            cpu = process_seconds(pid)
    return [
        Figure("projector", rate, "events/s", 50_000),
        Figure("projector, own CPU", cpu / target * 1e6, "µs/event"),
    ]


async def pipeline() -> list[Figure]:
    """Submission in bulk, one worker and one projector at the same time, until all is in tables."""
    jobs = 100_000
    async with stage() as bench:
        await migrate(bench.settings.postgres_dsn)
        with (
            projector(bench),
            bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY),
        ):
            target = await bench.seq() + 3 * jobs
            begin = time.perf_counter()
            await fill(bench, jobs)
            await bench.until_seq(target)
            run = time.perf_counter() - begin
            await projected(bench, target)
            shown = time.perf_counter() - begin
    return [
        Figure("pipeline, submitted and run", jobs / run, "jobs/s"),
        Figure("pipeline, until in the tables", jobs / shown, "jobs/s"),
    ]


async def finished_log(bench: Bench, jobs: int) -> int:
    """A log of that many finished jobs, three events each; its last seq."""
    await fill(bench, jobs)
    await run_all(bench)
    return await bench.seq()


async def run_all(bench: Bench) -> None:
    """Claim and finish everything that is queued, as a worker would."""
    done = body_of(JobSucceeded())
    while leases := (await bench.queue.claim("bench", CHEAP_BATCH)).leases:
        await bench.queue.finish([Finish(one.id, one.fence, "succeeded", done) for one in leases])


async def projected(bench: Bench, target: int, queue: str = QUEUE) -> float:
    """Wait until the tables are at `target`; events/s from the first commit seen to the last."""
    connection = await asyncpg.connect(bench.settings.postgres_dsn)
    first: tuple[float, int] | None = None
    try:
        with anyio.fail_after(600):
            while True:
                seq = await connection.fetchval(
                    "SELECT seq FROM checkpoints WHERE partition = $1", queue
                )
                now = time.perf_counter()
                if first is None and seq:
                    first = (now, seq)
                if first is not None and seq >= target:
                    break
                await anyio.sleep(0.005)
    finally:
        await connection.close()
    return (seq - first[1]) / max(now - first[0], 1e-9)

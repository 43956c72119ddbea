"""How fast workers run jobs that do nothing, whatever else waits."""

import statistics
from contextlib import ExitStack

from .bench import NOOP_APP, Bench, process_seconds, stage
from .figures import Figure
from .jobs import fill, finished_rates, records_after

CONCURRENCY = 500


async def one_worker() -> list[Figure]:
    """One process: jobs/s, CPU per job on both sides, round trips per job."""
    count = 100_000
    async with stage() as bench:
        await fill(bench, count)
        before = await bench.last_entry()
        target = await bench.seq() + 2 * count
        redis_cpu, calls = bench.valkey_cpu(), await _calls(bench)
        with bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY) as worker:
            started_cpu = process_seconds(worker.pid)
            await bench.until_seq(target)
            worker_cpu = process_seconds(worker.pid) - started_cpu
            redis_cpu, calls = bench.valkey_cpu() - redis_cpu, await _calls(bench) - calls
        rate = statistics.median(finished_rates(await records_after(bench, before, 2 * count)))
    return [
        Figure("worker, one process", rate, "jobs/s", 35_000),
        Figure(
            "worker, Redis CPU of claim and finish", redis_cpu / count * 1e6, "µs/job", 20, False
        ),
        Figure("worker, own CPU", worker_cpu / count * 1e6, "µs/job"),
        Figure("worker, round trips", calls / count, "per job"),
    ]


async def two_workers() -> list[Figure]:
    """Two processes on the same queue."""
    return [Figure("worker, two processes", await _rate(0, processes=2), "jobs/s", 35_000)]


async def backlog_20k() -> list[Figure]:
    """One process with 20 000 jobs left waiting."""
    return [Figure("worker, 20 000 waiting", await _rate(20_000), "jobs/s", 35_000)]


async def backlog_200k() -> list[Figure]:
    """One process with 200 000 jobs left waiting."""
    return [Figure("worker, 200 000 waiting", await _rate(200_000), "jobs/s", 35_000)]


async def backlog_1m() -> list[Figure]:
    """One process with a million jobs left waiting."""
    return [Figure("worker, 1 000 000 waiting", await _rate(1_000_000), "jobs/s", 33_250)]


async def _rate(waiting: int, processes: int = 1, count: int = 100_000) -> float:
    """Jobs/s over `count` jobs while at least `waiting` more wait."""
    async with stage() as bench:
        await fill(bench, count + waiting)
        await bench.at_rest()
        before = await bench.last_entry()
        target = await bench.seq() + 2 * count
        with ExitStack() as roles:
            for _ in range(processes):
                roles.enter_context(
                    bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY)
                )
            await bench.until_seq(target)
        return statistics.median(finished_rates(await records_after(bench, before, 2 * count)))


async def _calls(bench: Bench) -> int:
    """Commands clients sent that do work: scripts, and the blocking reads of idle workers."""
    stats = await bench.redis.info("commandstats")
    counted = ("cmdstat_evalsha", "cmdstat_blpop")
    return sum(stats.get(name, {"calls": 0})["calls"] for name in counted)

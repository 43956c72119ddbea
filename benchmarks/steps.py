"""How fast handlers do durable steps: one round trip each, many of them joined."""

from millstream.core.events import JobSubmitted, body_of
from millstream.core.ids import new_ids
from millstream.core.queue import CHEAP_BATCH, NewJob

from .bench import NOOP_APP, QUEUE, Bench, process_seconds, stage
from .figures import Figure
from .jobs import records_until
from .work import CONCURRENCY

STEPS = 60_000
"""Of each case."""


async def durable() -> list[Figure]:
    """One worker process, jobs of 1 and of 10 steps: steps/s, CPU per step on both sides.

    CPU per step is what steps cost beyond the same number of jobs without any.
    """
    bare, bare_redis, bare_worker = await _measure(0, STEPS)
    found = [Figure("steps, jobs without any", bare, "jobs/s")]
    for steps in (1, 10):
        jobs = STEPS // steps
        rate, redis, worker = await _measure(steps, jobs)
        share = jobs / STEPS
        found += [
            Figure(f"steps, {steps} a job", rate * steps, "steps/s"),
            Figure(f"steps, {steps} a job: Redis CPU", redis - bare_redis * share, "µs/step"),
            Figure(f"steps, {steps} a job: own CPU", worker - bare_worker * share, "µs/step"),
        ]
    return found


async def _measure(steps: int, jobs: int) -> tuple[float, float, float]:
    """Jobs/s; µs of Redis's and of the worker's CPU for each of STEPS."""
    async with stage() as bench:
        await _fill(bench, steps, jobs)
        await bench.at_rest()
        before, redis = await bench.last_entry(), bench.valkey_cpu()
        with bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY) as worker:
            cpu = process_seconds(worker.pid)
            records = await records_until(bench, before, jobs)
            cpu = process_seconds(worker.pid) - cpu
        redis = bench.valkey_cpu() - redis
    begin = next(one.time for one in records if one.type == "job.started")
    end = max(one.time for one in records if one.type == "job.succeeded")
    return jobs * 1000 / max(end - begin, 1), redis / STEPS * 1e6, cpu / STEPS * 1e6


async def _fill(bench: Bench, steps: int, jobs: int) -> None:
    spec = JobSubmitted(f"bench.steps-{steps}")
    body = body_of(spec)
    for first in range(0, jobs, CHEAP_BATCH):
        ids = new_ids(QUEUE, min(CHEAP_BATCH, jobs - first))
        await bench.queue.submit([NewJob(id, spec, body) for id in ids])

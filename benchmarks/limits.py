"""What limits cost: throughput with each of them, beside that of a queue without any."""

import statistics
from collections.abc import Mapping

from millstream.core import codec
from millstream.core.events import JobSubmitted, QueueConfigured, body_of
from millstream.core.ids import new_ids
from millstream.core.limits import Rate
from millstream.core.queue import CHEAP_BATCH, NewJob

from .bench import NOOP_APP, QUEUE, Bench, stage
from .figures import Figure
from .jobs import PAYLOAD, finished_rates, records_until
from .work import CONCURRENCY

COUNT = 60_000

TYPE = "bench.noop"
FAR = "100000"
"""A concurrency that is never reached: every job is counted, none waits."""

CASES: dict[str, tuple[dict[str, str], int]] = {
    "no limits": ({}, 0),
    "limits on another type": ({"c:bench.other": "5"}, 0),
    "10 keys, far from their limit": ({"ck": FAR}, 10),
    "1 000 keys, far from their limit": ({"ck": FAR}, 1000),
    "1 000 keys, one job at a time each": ({"ck": "1"}, 1000),
    "a type, far from its limit": ({f"c:{TYPE}": FAR}, 0),
    "a type, 50 at once": ({f"c:{TYPE}": "50"}, 0),
    "a rate, far from it": ({f"r:{TYPE}": Rate(1_000_000, burst=100_000).bound}, 0),
    "a rate of 10 000/s": ({f"r:{TYPE}": Rate(10_000).bound}, 0),
    "the queue, 200 at once": ({"c": "200"}, 0),
    "the queue, 10 000/s": ({"r": Rate(10_000).bound}, 0),
    "aging": ({"aging": "60000"}, 0),
}
"""What is limited → bounds of `configure`, and how many keys the jobs have."""


async def each_limit() -> list[Figure]:
    """One worker process with each kind of limit: jobs/s, and Redis CPU per job."""
    found: list[Figure] = []
    for name, (bounds, keys) in CASES.items():
        rate, cpu = await _measure(bounds, keys)
        found.append(Figure(f"limits, {name}", rate, "jobs/s"))
        found.append(Figure(f"limits, {name}: Redis CPU", cpu, "µs/job"))
    return found


async def _measure(bounds: Mapping[str, str], keys: int) -> tuple[float, float]:
    async with stage() as bench:
        if bounds:
            await bench.queue.configure(QueueConfigured(), bounds)
        await _fill(bench, keys)
        await bench.at_rest()
        before = await bench.last_entry()
        cpu = bench.valkey_cpu()
        with bench.role("worker", "--app", NOOP_APP, concurrency=CONCURRENCY):
            records = await records_until(bench, before, COUNT)
        cpu = bench.valkey_cpu() - cpu
    return statistics.median(finished_rates(records)), cpu / COUNT * 1e6


async def _fill(bench: Bench, keys: int) -> None:
    payload = codec.wrap(PAYLOAD)
    specs = [JobSubmitted(TYPE, f"key-{n}" if keys else None, payload=payload)
             for n in range(max(keys, 1))]  # fmt: skip
    bodies = [body_of(spec) for spec in specs]
    ids = new_ids(QUEUE, COUNT)
    jobs = [NewJob(id, specs[n % len(specs)], bodies[n % len(specs)]) for n, id in enumerate(ids)]
    for first in range(0, COUNT, CHEAP_BATCH):
        await bench.queue.submit(jobs[first : first + CHEAP_BATCH])

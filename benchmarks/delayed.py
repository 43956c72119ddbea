"""A million jobs that wait for a time: what they cost to take, to keep, and to let run."""

import time

from .bench import stage
from .figures import Figure
from .jobs import fill

COUNT = 1_000_000
LATER_MS = 7 * 86_400_000
DUE = 100_000


async def million() -> list[Figure]:
    """Insert a million jobs due in a week, then promote a hundred thousand due at once."""
    async with stage() as bench:
        empty = await bench.memory()
        begin = time.perf_counter()
        await fill(bench, COUNT, LATER_MS)
        inserted = time.perf_counter() - begin
        full = await bench.memory()
        log = await bench.redis.memory_usage(bench.keys.log("default"), samples=0) or 0
        await fill(bench, DUE, 1)
        await bench.at_rest()
        cpu, begin = bench.valkey_cpu(), time.perf_counter()
        left = DUE
        while left > 0:
            promoted, _ = await bench.queue.promote(1000)
            left -= promoted
        promoted_in = time.perf_counter() - begin
        cpu = bench.valkey_cpu() - cpu
    return [
        Figure("delayed, inserting a million", COUNT / inserted, "jobs/s"),
        Figure("delayed, memory without the event", (full - empty - log) / COUNT, "bytes"),
        Figure("delayed, promoting beside a million", DUE / promoted_in, "jobs/s"),
        Figure("delayed, promoting: Redis CPU", cpu / DUE * 1e6, "µs/job"),
    ]

"""What the machine and the server can do without us: the yardstick of all other figures."""

import time
from typing import Any

from .bench import stage
from .figures import Figure

COUNT = 100_000
BATCH = 500


async def streams() -> list[Figure]:
    """redis-py alone: XADD in pipelines, then XREADGROUP and XACK in batches."""
    async with stage() as bench:
        entry: Any = {"job": "x" * 115}
        begin = time.perf_counter()
        for _ in range(COUNT // BATCH):
            pipeline = bench.redis.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.xadd("raw", entry)
            await pipeline.execute()
        added = time.perf_counter() - begin
        bench.redis.response_callbacks.pop("XREADGROUP")
        await bench.redis.xgroup_create("raw", "group", "0")
        begin = time.perf_counter()
        for _ in range(COUNT // BATCH):
            reply: Any = await bench.redis.execute_command(
                "XREADGROUP", "GROUP", "group", "one", "COUNT", BATCH, "STREAMS", "raw", ">"
            )
            ids = [entry_id for entry_id, _ in reply[0][1]]
            await bench.redis.execute_command("XACK", "raw", "group", *ids)
        read = time.perf_counter() - begin
    return [
        Figure("raw redis-py, XADD pipelined", COUNT / added, "entries/s"),
        Figure("raw redis-py, XREADGROUP and XACK", COUNT / read, "entries/s"),
    ]

"""Redis is full: what frees its memory goes on, also by workers that start only now."""

from __future__ import annotations

from millstream.consumers import Context, Registry
from millstream.core.workers import Workers

from .conftest import Bench, until


async def test_a_worker_starts_and_works_off_a_full_server(
    bench: Bench, registry: Registry
) -> None:
    @registry.job("small")
    async def small(ctx: Context, payload: None) -> None:
        pass

    jobs = await bench.submit_many("small", [None] * 20)
    await bench.redis.script_flush()  # as after a restart of the server
    await bench.redis.config_set("maxmemory", "1mb")
    try:
        worker = await bench.worker(registry, queues=("default", "fresh"))
        for job in jobs:
            assert (await bench.ended(job))[-1] == "succeeded"
        await until(lambda: _present(bench, worker.name))
    finally:
        await bench.redis.config_set("maxmemory", "0")


async def _present(bench: Bench, name: str) -> bool:
    return name in await Workers(bench.redis, bench.keys).present()

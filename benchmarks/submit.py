"""How fast jobs are accepted: straight through the verb, and over HTTP."""

from .bench import stage, timed
from .figures import Figure, percentile
from .http_load import bulk, singles
from .jobs import fill
from .roles import api


async def direct() -> list[Figure]:
    """In bulk through the verb."""
    count = 100_000
    async with stage() as bench:
        redis_cpu = bench.valkey_cpu()
        with timed() as spent:
            await fill(bench, count)
        redis_cpu = bench.valkey_cpu() - redis_cpu
    return [
        Figure("submit, bulk direct", count / spent[0], "jobs/s", 80_000),
        Figure("submit, Redis CPU", redis_cpu / count * 1e6, "µs/job"),
    ]


async def over_http() -> list[Figure]:
    """Over HTTP: in bulk by 1 000, and one by one over 1 and over 64 connections."""
    async with stage() as bench, api(bench) as port:
        rate = await bulk(port, batches=100, size=1000)
        alone = await singles(port, connections=1, count=2_000)
        busy = await singles(port, connections=64, count=30_000)
    return [
        Figure("submit, bulk over HTTP", rate, "jobs/s", 40_000),
        Figure("submit, HTTP 1 connection", alone.rate, "req/s"),
        Figure("submit, HTTP 1 connection p50", percentile(alone.seconds, 0.50) * 1e3, "ms"),
        Figure("submit, HTTP 1 connection p99", percentile(alone.seconds, 0.99) * 1e3, "ms"),
        Figure("submit, HTTP 64 connections", busy.rate, "req/s", 7_000),
        Figure("submit, HTTP 64 connections p50", percentile(busy.seconds, 0.50) * 1e3, "ms"),
        Figure("submit, HTTP 64 connections p99", percentile(busy.seconds, 0.99) * 1e3, "ms"),
    ]

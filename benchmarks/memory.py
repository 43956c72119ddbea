"""What a job costs in Redis memory while it waits, and after it has ended."""

from millstream.core.events import JobSucceeded, body_of
from millstream.core.queue import CHEAP_BATCH, Finish

from .bench import stage
from .figures import Figure
from .jobs import fill

COUNT = 50_000


async def per_job() -> list[Figure]:
    """Bytes per queued job and per finished one, with its events and without."""
    async with stage() as bench:
        empty = await bench.memory()
        await fill(bench, COUNT)
        queued = await bench.memory()
        log_key = bench.keys.log("default")
        queued_log = await bench.redis.memory_usage(log_key, samples=0) or 0
        done = body_of(JobSucceeded())
        while leases := (await bench.queue.claim("bench", CHEAP_BATCH)).leases:
            verdicts = [Finish(one.id, one.fence, "succeeded", done) for one in leases]
            await bench.queue.finish(verdicts)
        finished = await bench.memory()
        await bench.redis.xtrim(log_key, maxlen=0, approximate=False)
        trimmed = await bench.memory()
    return [
        Figure("memory, queued job, its event", queued_log / COUNT, "bytes"),
        Figure("memory, queued job, without", (queued - empty - queued_log) / COUNT, "bytes"),
        Figure("memory, finished job, its events", (finished - trimmed) / COUNT, "bytes"),
        Figure("memory, finished job, archived", (trimmed - empty) / COUNT, "bytes"),
    ]

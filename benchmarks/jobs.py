"""Filling queues, straight through the verb, and reading what the log says of the work."""

from collections.abc import Sequence

import anyio

from millstream.core import codec
from millstream.core.events import JobSubmitted, Record, body_of
from millstream.core.ids import new_ids
from millstream.core.queue import CHEAP_BATCH, NewJob

from .bench import QUEUE, Bench

PAYLOAD = {"to": "someone@example.org", "subject": "hello", "text": "x" * 60}
"""115 bytes of JSON."""


async def fill(bench: Bench, count: int, delay_ms: int | None = None) -> None:
    """Submit `count` no-op jobs in bulk, two calls under way at a time."""
    spec = JobSubmitted(type="bench.noop", payload=codec.wrap(PAYLOAD), delay_ms=delay_ms)
    body = body_of(spec)
    left = count

    async def submit() -> None:
        nonlocal left
        while left > 0:
            now = min(CHEAP_BATCH, left)
            left -= now
            await bench.queue.submit([NewJob(job, spec, body) for job in new_ids(QUEUE, now)])

    async with anyio.create_task_group() as group:
        group.start_soon(submit)
        group.start_soon(submit)


async def records_after(bench: Bench, entry: str, count: int) -> list[Record]:
    """`count` records of the log after a stream id."""
    found: list[Record] = []
    while len(found) < count:
        batch = (await bench.log.read({QUEUE: entry}, 10_000)).get(QUEUE)
        if not batch:
            break
        found += batch
        entry = batch[-1].entry
    return found[:count]


async def records_until(
    bench: Bench, entry: str, ended: int, deadline: float = 300
) -> list[Record]:
    """The records after a stream id, read once `ended` jobs have succeeded."""
    found: list[Record] = []
    with anyio.fail_after(deadline):
        while ended > 0:
            await anyio.sleep(0.25)
            while batch := (await bench.log.read({QUEUE: entry}, 10_000)).get(QUEUE):
                found += batch
                entry = batch[-1].entry
                ended -= sum(record.type == "job.succeeded" for record in batch)
    return found


def finished_rates(records: Sequence[Record], parts: int = 3) -> list[float]:
    """Jobs finished per second in each of `parts` equal shares of the work, by server time."""
    times = [record.time for record in records if record.type == "job.succeeded"]
    begin = next(record.time for record in records if record.type == "job.started")
    share = len(times) // parts
    rates: list[float] = []
    for part in range(parts):
        end = times[(part + 1) * share - 1]
        rates.append(share * 1000 / max(end - begin, 1))
        begin = end
    return rates

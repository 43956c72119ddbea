"""What is brought into a system, so that a feature is there which no measured job uses."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from millstream.core.events import Command, JobSubmitted, QueueConfigured, body_of
from millstream.core.ids import new_ids
from millstream.core.proof.signing import make_key
from millstream.core.queue import CHEAP_BATCH, NewJob
from millstream.core.requests import Requests
from millstream.core.schedule_store import PartitionSchedules
from millstream.core.schedules import Schedule
from millstream.core.unique import digest
from millstream.projections.connection import connect_pool
from millstream.projections.holds import Hold, place

from .bench import QUEUE, Bench
from .http_load import HOST
from .jobs import fill
from .project import run_all
from .roles import api

MANY = 10_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
FAMILY = 1000
"""Jobs that wait for one parent."""

ELSEWHERE = "elsewhere"
"""A queue that the worker does not serve."""

OWN_APP = Path(__file__).parent.parent / "examples" / "per_hour.py"

Prepare = Callable[[Bench], Coroutine[Any, Any, None]]


def limits(bounds: Mapping[str, str], queue: str = QUEUE) -> Prepare:
    """Limits of a queue, as `configure` takes them."""

    async def prepare(bench: Bench) -> None:
        await bench.directory.register(queue)
        await bench.directory.queue(queue).configure(QueueConfigured(), bounds)

    return prepare


async def limits_taken_away(bench: Bench) -> None:
    """A limit of this very type that there was once."""
    await limits({"c:bench.noop": "5"})(bench)
    await limits({"c:bench.noop": ""})(bench)


async def delayed(bench: Bench) -> None:
    """Jobs due in a week, in the same queue."""
    await fill(bench, MANY, WEEK_MS)


async def blocked(bench: Bench) -> None:
    """Jobs that wait for others in the same queue, which are due in a week."""
    await bench.directory.link(QUEUE)
    parent_spec = JobSubmitted("bench.noop", delay_ms=WEEK_MS)
    for parent in new_ids(QUEUE, MANY // FAMILY):
        ids = list(new_ids(QUEUE, FAMILY))
        body = body_of(parent_spec)
        await bench.queue.submit([NewJob(parent, parent_spec, body, before=ids)])
        spec = JobSubmitted("bench.noop", depends_on=[parent], flow=parent)
        await _submit(bench, (NewJob(id, spec, body_of(spec)) for id in ids))


async def locked(bench: Bench) -> None:
    """Unfinished jobs, each the only one of its kind."""
    await _submit(bench, map(_holder, new_ids(QUEUE, MANY)))


def _holder(id: str) -> NewJob:
    lock = digest(id.encode())
    spec = JobSubmitted("bench.noop", lock=lock, lock_scope="unfinished", delay_ms=WEEK_MS)
    return NewJob(id, spec, body_of(spec))


async def requests(bench: Bench) -> None:
    """Requests that came with an Idempotency-Key, each of one job, which has run."""
    agreed = Requests(bench.redis, bench.keys)
    spec = JobSubmitted("bench.noop")
    jobs = [NewJob(id, spec, body_of(spec), once=(digest(id.encode()), DAY_MS))
            for id in new_ids(QUEUE, MANY)]  # fmt: skip
    for job in jobs:
        await agreed.agree(digest(b"agreed", job.id.encode()), b"{}", DAY_MS)
    await _submit(bench, jobs)
    await run_all(bench)


async def priorities(bench: Bench) -> None:
    """One job of each priority, which has run: from then on all lanes are looked at."""
    specs = [JobSubmitted("bench.noop", priority=priority) for priority in range(10)]
    ids = new_ids(QUEUE, len(specs))
    await _submit(
        bench, [NewJob(id, spec, body_of(spec)) for id, spec in zip(ids, specs, strict=True)]
    )
    await run_all(bench)


async def schedules(bench: Bench) -> None:
    """Schedules of the same queue, each due in a week."""
    await bench.redis.sadd(bench.keys.scheduled, QUEUE)
    own = PartitionSchedules(bench.queue, bench.redis, bench.keys)
    start = datetime.now(UTC) + timedelta(days=7)
    by, now = Command("benchmark"), time.time_ns() // 1_000_000
    for number in range(MANY):
        schedule = Schedule(name=f"s{number}", type="bench.noop", every=60, start_at=start)
        await own.put(schedule, by, now=now)


async def queues(bench: Bench) -> None:
    """A thousand queues that other workers serve."""
    for number in range(1000):
        await bench.directory.register(f"{ELSEWHERE}-{number}")


async def hold(bench: Bench) -> None:
    """A legal hold on another queue."""
    pool = await connect_pool(bench.settings.postgres_dsn, timeout=60, size=1)
    try:
        await place(pool, Hold("case", ELSEWHERE, None, None, "benchmark", "measuring"))
    finally:
        await pool.close()


@asynccontextmanager
async def tail(bench: Bench) -> AsyncGenerator[None]:
    """An API, and a client that follows the events of another queue."""
    await bench.directory.register(ELSEWHERE)
    async with api(bench) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        path = f"/api/v1/events/stream?queue={ELSEWHERE}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"expected a stream of events, got: {head.decode()}")
        try:
            yield
        finally:
            writer.close()


@asynccontextmanager
async def own_projection(bench: Bench) -> AsyncGenerator[None]:
    """A user's own tables, which follow the archive."""
    with bench.role("project", "--app", str(OWN_APP)):
        yield


@asynccontextmanager
async def sealer(bench: Bench) -> AsyncGenerator[None]:
    """A sealer that signs segments a second after they were archived."""
    key = bench.folder / "seal.key"
    make_key(key)
    with bench.role("sealer", proof_key=key, proof_interval=1):
        yield


async def _submit(bench: Bench, jobs: Iterable[NewJob]) -> None:
    left = iter(jobs)
    while batch := list(islice(left, CHEAP_BATCH)):
        await bench.queue.submit(batch)

"""How long one job takes to start when little else goes on, and how exact delays are."""

import asyncio
import time
from collections.abc import Sequence

import anyio
import msgspec

from millstream.core import codec
from millstream.core.events import JobSubmitted, JobSucceeded, Record
from millstream.core.ids import new_id
from millstream.core.queue import new_job
from millstream.core.upcast import decode

from .bench import NOOP_APP, QUEUE, Bench, stage
from .figures import Figure, percentile
from .http_load import HOST, ask, post
from .jobs import records_after
from .roles import api

COUNT = 500
PAUSE = 0.01


async def direct() -> list[Figure]:
    """From the call that submits to the first line of the handler."""
    async with stage() as bench:
        with bench.role("worker", "--app", NOOP_APP):
            before = await bench.last_entry()
            for _ in range(COUNT):
                spec = JobSubmitted(type="bench.stamp", payload=codec.wrap(time.monotonic_ns()))
                await bench.queue.submit([new_job(new_id(QUEUE), spec)])
                await anyio.sleep(PAUSE)
            seconds = await _stamps(bench, before)
    return [
        Figure("latency, direct p50", percentile(seconds, 0.50) * 1e3, "ms", 1, False),
        Figure("latency, direct p99", percentile(seconds, 0.99) * 1e3, "ms", 2, False),
    ]


async def over_http() -> list[Figure]:
    """From the request that submits to the first line of the handler."""
    async with stage() as bench, api(bench) as port:
        with bench.role("worker", "--app", NOOP_APP):
            before = await bench.last_entry()
            reader, writer = await asyncio.open_connection(HOST, port)
            for _ in range(COUNT):
                job = {"type": "bench.stamp", "payload": time.monotonic_ns()}
                await ask(reader, writer, post("/api/v1/jobs", msgspec.json.encode(job)))
                await anyio.sleep(PAUSE)
            writer.close()
            seconds = await _stamps(bench, before)
    return [
        Figure("latency, HTTP p50", percentile(seconds, 0.50) * 1e3, "ms", 2, False),
        Figure("latency, HTTP p99", percentile(seconds, 0.99) * 1e3, "ms", 5, False),
    ]


async def delays() -> list[Figure]:
    """How late delayed jobs start, by the server's clock."""
    async with stage() as bench:
        with bench.role("worker", "--app", NOOP_APP):
            before = await bench.last_entry()
            for number in range(200):
                spec = JobSubmitted(type="bench.noop", delay_ms=500 + 17 * number)
                await bench.queue.submit([new_job(new_id(QUEUE), spec)])
            late = _lateness(await _finished(bench, before, 200 * 4))
    return [
        Figure("delay, started late by p50", percentile(late, 0.50), "ms"),
        Figure("delay, started late by p99", percentile(late, 0.99), "ms"),
    ]


async def _stamps(bench: Bench, before: str) -> list[float]:
    events = [decode(record) for record in await _finished(bench, before, 3 * COUNT)]
    return [one.result.decode(int) / 1e9 for one in events if isinstance(one, JobSucceeded)]


async def _finished(bench: Bench, before: str, count: int) -> list[Record]:
    with anyio.fail_after(60):
        while len(found := await records_after(bench, before, count)) < count:
            await anyio.sleep(0.1)
    return found


def _lateness(records: Sequence[Record]) -> list[float]:
    due: dict[str, int] = {}
    late: list[float] = []
    for record in records:
        event = decode(record)
        if isinstance(event, JobSubmitted) and event.delay_ms is not None:
            due[record.job] = record.time + event.delay_ms
        elif record.type == "job.started":
            late.append(record.time - due[record.job])
    return late

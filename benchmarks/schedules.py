"""Ten thousand schedules: what they cost while they wait, and how late they fire."""

import time
from datetime import UTC, datetime

import anyio

from millstream.core.events import Command, ScheduleFired
from millstream.core.schedule_store import PartitionSchedules
from millstream.core.schedules import Schedule
from millstream.core.upcast import decode

from .bench import NOOP_APP, QUEUE, Bench, process_seconds, stage
from .figures import Figure, percentile
from .jobs import records_after

COUNT = 10_000
EVERY = 20.0
SECONDS = 30


async def ten_thousand() -> list[Figure]:
    """Schedules that fire each 20 s, evenly spread over them: 500 firings a second."""
    async with stage() as bench:
        own = PartitionSchedules(bench.queue, bench.redis, bench.keys)
        begin = time.perf_counter()
        await _make(bench, own)
        made = time.perf_counter() - begin
        with bench.role("worker", "--app", NOOP_APP) as worker:
            await anyio.sleep(5)
            before = await bench.last_entry()
            redis, cpu = bench.valkey_cpu(), process_seconds(worker.pid)
            await anyio.sleep(SECONDS)
            redis, cpu = bench.valkey_cpu() - redis, process_seconds(worker.pid) - cpu
            records = await records_after(bench, before, 1_000_000)
    fired = [(one.time, decode(one)) for one in records if one.type == "schedule.fired"]
    late = [at - event.occurrence for at, event in fired if isinstance(event, ScheduleFired)]
    return [
        Figure("schedules, made", COUNT / made, "schedules/s"),
        Figure("10 000 schedules, firings", len(late) / SECONDS, "per s"),
        Figure("10 000 schedules, late by p50", percentile(late, 0.5), "ms"),
        Figure("10 000 schedules, late by p99", percentile(late, 0.99), "ms"),
        Figure("10 000 schedules, worker CPU", cpu / max(1, len(late)) * 1e6, "µs/firing"),
        Figure("10 000 schedules, Redis CPU", redis / max(1, len(late)) * 1e6, "µs/firing"),
    ]


async def _make(bench: Bench, own: PartitionSchedules) -> None:
    await bench.redis.sadd(bench.keys.scheduled, QUEUE)
    now = time.time_ns() // 1_000_000
    step = EVERY * 1000 / COUNT
    for number in range(COUNT):
        start = datetime.fromtimestamp((now + number * step) / 1000, UTC)
        schedule = Schedule(name=f"s{number}", type="bench.noop", every=EVERY, start_at=start)
        await own.put(schedule, Command(), now=now)

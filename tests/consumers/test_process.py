"""Workers as processes, under real signals."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from millstream.core.embedded import Valkey
from tests.invariants import check

from .conftest import Bench, until
from .planner import Planner
from .processes import EXPIRES_SOON, Workers, exit_code

APP = str(Path(__file__).with_name("process_app.py")) + ":registry"


@pytest.fixture
def workers(bench: Bench, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(bench, tmp_path, APP)
    yield workers
    workers.end()


@pytest.mark.parametrize("type", ["proc.wait", "proc.thread"])
async def test_sigterm_hands_the_job_back_at_no_cost(workers: Workers, type: str) -> None:
    bench = workers.bench
    first = await workers.start()
    job = await workers.submit(type, max_attempts=1)
    await workers.until_begun()
    first.send_signal(signal.SIGTERM)
    assert await exit_code(first) == 0
    assert await bench.types(job) == ["submitted", "started", "released"]
    assert (await bench.last(job)) == {"reason": "drain"}
    workers.go.touch()
    second = await workers.start()
    assert (await bench.ended(job))[-3:] == ["released", "started", "succeeded"]
    assert (await bench.last(job))["result"]["data"] == second.pid
    assert [attempt for _, attempt, _, _ in workers.begun()] == [1, 1]


async def test_sigterm_lets_a_handler_finish_within_the_grace(workers: Workers) -> None:
    process = await workers.start(grace=10.0)
    job = await workers.submit("proc.wait")
    later = await workers.submit("proc.wait", delay_ms=100)
    await workers.until_begun(2)
    process.send_signal(signal.SIGINT)
    refused = await workers.submit("proc.wait")
    workers.go.touch()
    assert await exit_code(process) == 0
    for done in (job, later):
        assert (await workers.bench.types(done))[-1] == "succeeded"
    assert (await workers.bench.types(refused))[-1] in ("submitted", "succeeded", "released")
    types = [
        record.type
        for record in await workers.bench.history("")
        if record.type.startswith("worker.")
    ]
    assert types == ["worker.started", "worker.stopped"]


async def test_a_second_signal_stops_at_once_even_a_blocked_loop(workers: Workers) -> None:
    process = await workers.start(grace=60.0)
    await workers.submit("proc.block")
    await workers.until_begun()
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert process.poll() is None

    def another_ends_it() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    # Two signals at one instant are one, and a blocked loop does not say that it had the first.
    await until(another_ends_it, 30)  # half of what its grace is, and of what it blocks
    assert process.returncode == 128 + signal.SIGTERM


async def test_a_killed_workers_job_runs_elsewhere(workers: Workers) -> None:
    first = await workers.start()
    job = await workers.submit("proc.wait")
    await workers.until_begun()
    first.kill()
    await workers.start(**EXPIRES_SOON)
    began = await workers.until_begun(2)
    workers.go.touch()
    assert await workers.bench.ended(job) == [
        "submitted", "started", "lease_expired", "started", "succeeded",
    ]  # fmt: skip
    assert [crashes for _, _, crashes, _ in began] == [0, 1]
    assert began[1][3] > began[0][3], "the fencing token must rise"


async def test_a_worker_stopped_past_its_lease_is_refused(workers: Workers) -> None:
    bench = workers.bench
    first = await workers.start()
    job = await workers.submit("proc.wait")
    await workers.until_begun()
    first.send_signal(signal.SIGSTOP)
    second = await workers.start(**EXPIRES_SOON)
    await workers.until_begun(2)
    workers.go.touch()  # whoever finishes now: only one may be heard
    await bench.ended(job)
    first.send_signal(signal.SIGCONT)
    assert first.stderr is not None
    told = ""
    async with asyncio.timeout(60):
        while "lease lost" not in told and "verdict refused" not in told:
            told = (await asyncio.to_thread(first.stderr.readline)).decode()
    first.send_signal(signal.SIGTERM)
    assert await exit_code(first) == 0
    assert await bench.types(job) == [
        "submitted", "started", "lease_expired", "started", "succeeded",
    ]  # fmt: skip
    done = (await bench.last(job))["result"]["data"]
    assert psutil.Process(done).ppid() == second.pid, "in a process of its own, that once"


async def test_a_job_that_kills_its_worker_ends_as_poison_and_others_live(workers: Workers) -> None:
    """It kills one: after that it runs apart."""
    bench = workers.bench
    for _ in range(2):
        await workers.start(**EXPIRES_SOON)
    poison = await workers.submit("proc.suicide")
    assert await bench.ended(poison) == [
        "submitted", "started", "lease_expired", "started", "crashed",
        "queued", "started", "crashed", "failed",
    ]  # fmt: skip
    assert [crashes for _, _, crashes, _ in workers.begun()] == [0, 1, 2]
    assert await bench.last(poison) == {
        "reason": "poison", "error": {"type": "Crashed", "message": "killed by SIGKILL"},
    }  # fmt: skip
    workers.go.touch()
    good = await workers.submit("proc.wait")
    assert (await bench.ended(good))[-1] == "succeeded"
    assert [process.poll() for process in workers.processes].count(None) == 1


async def test_a_drain_ends_although_redis_is_gone(workers: Workers, valkey_server: Valkey) -> None:
    process = await workers.start()
    await workers.submit("proc.wait")
    await workers.until_begun()
    await asyncio.to_thread(valkey_server.stop)
    process.send_signal(signal.SIGTERM)
    assert await exit_code(process, 30) == 0, "it would wait for Redis"


async def test_sigterm_ends_a_worker_that_never_found_redis(
    workers: Workers, valkey_server: Valkey
) -> None:
    await asyncio.to_thread(valkey_server.stop)
    process = await workers.start(ready=False)
    assert process.stderr is not None
    assert b"waiting for Redis" in await asyncio.to_thread(process.stderr.readline)
    process.send_signal(signal.SIGTERM)
    assert await exit_code(process) == 0


async def test_each_occurrence_fires_once_while_workers_are_killed(workers: Workers) -> None:
    """Several processes, one of them killed at any moment, and another started for it."""
    bench = workers.bench
    planner = Planner(bench)
    await planner.make(every=1, type="proc.tick", catchup_limit=100)
    chance = random.Random(7)
    for _ in range(2):
        await workers.start(sweep=1.0)
    for _ in range(4):
        await asyncio.sleep(chance.uniform(0.5, 1.5))
        alive = [process for process in workers.processes if process.poll() is None]
        chance.choice(alive).kill()
        await workers.start(sweep=1.0)
    before = len(await planner.told("fired"))
    fired = [one["occurrence"] for one in await planner.until_told("fired", before + 2)]
    assert fired == list(range(fired[0], fired[-1] + 1, 1000))
    assert await planner.told("skipped") == []
    for process in workers.processes:
        process.kill()
        await asyncio.to_thread(process.wait)
    (await check(bench.url, ["default"])).require()

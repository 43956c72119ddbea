"""Workers that should not go on: they grow too large, fetch no more, or have a dead event loop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.consumers import Registry
from millstream.consumers.attempts import Attempt
from millstream.consumers.handing_back import blockers
from millstream.consumers.memory import resident
from millstream.consumers.slots import Slots
from millstream.consumers.stats import Stats
from millstream.consumers.watchdog import TICK, Watchdog
from millstream.core.config import as_environ
from millstream.core.embedded import Valkey
from millstream.core.errors import ConfigError
from millstream.core.events import Command, JobSubmitted
from millstream.core.hot import Lease
from millstream.core.ready import RECYCLED, STALLED
from millstream.core.workers import Workers as Reports
from tests.invariants import check

from .conftest import Bench, until
from .processes import EXPIRES_SOON, Workers, exit_code

APP = str(Path(__file__).with_name("health_app.py")) + ":registry"
MIB = 2**20

SOON_STALLED: dict[str, Any] = {"stall_timeout": 5.0, "command_timeout": 0.8}
"""As soon as it may be, and the longest timeout that goes with it: what a worker hands back at its
end it sends once."""


@pytest.fixture
def workers(bench: Bench, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(bench, tmp_path, APP)
    yield workers
    workers.end()


async def farewell(bench: Bench) -> list[dict[str, Any]]:
    log = await bench.history("")
    return [msgspec.json.decode(one.body) for one in log if one.type == "worker.stopped"]


async def test_a_worker_that_leaks_is_replaced_and_loses_nothing(workers: Workers) -> None:
    bench = workers.bench
    first = await workers.start(max_memory=250 * MIB, grace=0.3)
    waiting = [await workers.submit(type, max_attempts=1) for type in ("wait", "wait.thread")]
    await workers.until_begun(2)
    leaks = await bench.submit_many("leak", [workers.task] * 6, max_attempts=1)
    assert await exit_code(first) == RECYCLED
    for job in waiting:
        assert await bench.types(job) == ["submitted", "started", "released"]
    assert [one["reason"] for one in await farewell(bench)] == ["memory"]
    workers.go.touch()
    await workers.start()
    for job in [*waiting, *leaks]:
        types = await bench.ended(job)
        assert types[-1] == "succeeded"
        assert not {"lease_expired", "attempt_failed"} & set(types)
    (await check(bench.url, ["default"])).require()


async def test_what_runs_may_finish_within_the_grace(workers: Workers) -> None:
    bench = workers.bench
    first = await workers.start(max_memory=250 * MIB, grace=30.0)
    job = await workers.submit("wait")
    await workers.until_begun()
    await bench.submit_many("leak", [workers.task] * 4)

    async def draining() -> bool:
        seen = await Reports(bench.redis, bench.keys).all()
        return [one.condition for one in seen] == ["draining"]

    await until(draining)
    workers.go.touch()
    assert await exit_code(first) == RECYCLED
    assert await bench.types(job) == ["submitted", "started", "succeeded"]
    assert (await bench.last(job))["result"]["data"] == first.pid


async def test_a_bound_below_an_idle_worker_is_refused(bench: Bench, registry: Registry) -> None:
    now = resident()
    with pytest.raises(ConfigError, match=r"MAX_MEMORY: expected more than a worker takes"):
        await bench.worker(registry, max_memory=now // 2)


async def test_a_fetch_loop_that_hangs_ends_its_worker(workers: Workers) -> None:
    bench = workers.bench
    first = await workers.start(**SOON_STALLED)
    running = await workers.submit("wait", max_attempts=1)
    await workers.until_begun()
    await bench.ended(await workers.submit("hang"))
    job = await workers.submit("wait", max_attempts=1)
    assert await exit_code(first) == STALLED
    assert await bench.types(running) == ["submitted", "started", "released"]
    assert [one["reason"] for one in await farewell(bench)] == ["stalled"]
    workers.go.touch()
    second = await workers.start()
    await bench.ended(job)
    assert (await bench.last(job))["result"]["data"] == second.pid
    (await check(bench.url, ["default"])).require()


async def test_a_dead_loop_ends_its_worker_and_only_its_job_pays(workers: Workers) -> None:
    bench = workers.bench
    first = await workers.start(**SOON_STALLED)
    neighbours = [await workers.submit(type, max_attempts=1) for type in ("wait", "wait.thread")]
    await workers.until_begun(2)
    guilty = await workers.submit("block")
    await workers.until_begun(3)
    behind = await workers.submit("wait", max_attempts=1)
    assert await exit_code(first) == STALLED
    assert first.stderr is not None
    told = (await asyncio.to_thread(first.stderr.read)).decode()
    assert "the event loop is dead" in told
    assert "in wait_here" in told, "the log shows where the handler hangs"
    for job in neighbours:
        assert await bench.types(job) == ["submitted", "started", "released"]
        assert await bench.last(job) == {"reason": "stalled"}
    assert await bench.types(guilty) == ["submitted", "started"], "it lost no lease meanwhile"
    workers.go.touch()
    await workers.start(**EXPIRES_SOON)
    for job in [*neighbours, behind]:
        assert "lease_expired" not in await bench.ended(job)
    assert await bench.ended(guilty) == [
        "submitted", "started", "lease_expired", "started", "succeeded",
    ]  # fmt: skip
    (await check(bench.url, ["default"])).require()


async def test_a_blocked_loop_is_told_by_a_thread_and_loses_no_lease(workers: Workers) -> None:
    bench = workers.bench
    lease = 4.5
    first = await workers.start(concurrency=1, lease=lease)
    job = await workers.submit("block")
    await workers.until_begun()

    async def told() -> bool:
        seen = await Reports(bench.redis, bench.keys).all()
        return any(one.report.blocked_for > lease for one in seen)

    await until(told)
    assert await bench.queue.reap(round(lease * 1000), 3) == (0, False)
    workers.go.touch()
    assert await bench.ended(job) == ["submitted", "started", "succeeded"]
    assert first.poll() is None


async def test_a_worker_without_redis_has_not_stalled(
    workers: Workers, valkey_server: Valkey
) -> None:
    process = await workers.start(**SOON_STALLED)
    await asyncio.to_thread(valkey_server.stop)
    with pytest.raises(subprocess.TimeoutExpired):
        await exit_code(process, 8)
    await asyncio.to_thread(valkey_server.start)
    workers.go.touch()
    assert (await workers.bench.ended(await workers.submit("wait")))[-1] == "succeeded"


async def test_nor_has_one_that_was_stopped_or_whose_queue_is_paused(workers: Workers) -> None:
    await workers.bench.queue.set_mode("paused", Command("ada", "test"))
    stopped, waiting = [await workers.start(**SOON_STALLED) for _ in range(2)]
    stopped.send_signal(signal.SIGSTOP)
    await asyncio.sleep(6)  # longer than a stall may last: this is what is tested
    stopped.send_signal(signal.SIGCONT)
    with pytest.raises(subprocess.TimeoutExpired):
        await exit_code(stopped, 4 * TICK)
    for process in (stopped, waiting):
        process.terminate()
        assert await exit_code(process) == 0
    told = [one.get("reason", "asked") for one in await farewell(workers.bench)]
    assert told == ["asked", "asked"]


async def test_who_blocks_the_loop_is_told_by_its_task_or_suspected() -> None:
    """Here the loop is held up by this test, so its task is the one that blocks."""
    loop, spec = asyncio.get_running_loop(), JobSubmitted("t")
    waiting, thread, decoding, awaiting, blocking = (
        Attempt(Lease("default", str(n), 2, 1, 0, 0, b""), 0.0) for n in range(5)
    )
    thread.in_thread = True
    for one in (thread, decoding, awaiting, blocking):
        one.spec = spec
    other = awaiting.task = loop.create_task(asyncio.sleep(0))
    everyone = {waiting, thread, decoding, awaiting, blocking}

    def judged() -> set[Attempt]:
        return blockers(everyone, loop)

    assert await asyncio.to_thread(judged) == {decoding, awaiting, blocking}, "none runs now"
    blocking.task = asyncio.current_task()
    assert judged() == {blocking}
    await other


class Bite:
    """What a watchdog did, of a loop that answers as the test has it."""

    def __init__(self, bound: float) -> None:
        self.stats, self.slots = Stats(), Slots(1)
        self.told: list[float] = []
        self.stalled: list[str] = []
        self.dead: list[float] = []
        self.calls: list[Any] = []
        self.dog = Watchdog(
            self.slots, self.stats, bound,
            tell=self.told.append, stalled=self.stalled.append, dead=self.dead.append,
        )  # fmt: skip

    def call_soon_threadsafe(self, call: Any, *args: Any) -> None:
        self.calls.append((call, args))

    def look(self, times: int, *, answers: bool = True) -> None:
        for _ in range(times):
            if answers:
                for call, args in self.calls:
                    call(*args)
                self.calls.clear()
            self.dog._look(self, TICK)  # pyright: ignore[reportPrivateUsage, reportArgumentType]


def test_a_loop_that_answers_is_never_dead_and_one_that_does_not_is_told_first() -> None:
    bite = Bite(20.0)
    bite.look(100)
    assert (bite.told, bite.dead) == ([], [])
    bite.look(12, answers=False)
    assert (bite.told, bite.dead) == ([5.0], [])
    bite.look(2)
    bite.look(39, answers=False)
    assert bite.told == [5.0, 5.0, 10.0, 15.0], "it counts from the last answer"
    assert bite.dead == []
    bite.look(1, answers=False)
    assert bite.dead == [20.0]


def test_a_fetch_loop_hangs_only_while_it_could_fetch() -> None:
    bite = Bite(5.0)
    bite.slots.taken = 1
    bite.look(100)
    assert bite.stalled == [], "all its slots are taken"
    bite.slots.taken = 0
    for _ in range(100):
        bite.stats.progress += 1
        bite.look(9)
    assert bite.stalled == [], "it goes round, if slowly"
    bite.look(20)
    assert len(bite.stalled) == 1
    draining = Bite(5.0)
    draining.dog.fetching = False
    draining.look(100)
    assert draining.stalled == []


def test_without_a_bound_nobody_is_bitten() -> None:
    bite = Bite(0.0)
    bite.look(1000)
    bite.look(1000, answers=False)
    assert (bite.stalled, bite.dead) == ([], [])
    assert bite.told


def test_the_settings_reach_a_child() -> None:
    from millstream.core.config import load

    given = {"MILLSTREAM_MAX_MEMORY": "512MiB", "MILLSTREAM_STALL_TIMEOUT": "60"}
    settings = load(given)
    assert (settings.max_memory, settings.stall_timeout) == (512 * MIB, 60)
    assert load(as_environ(settings)).max_memory == 512 * MIB

"""Workers and their processes killed: nothing is left, nothing lost, and nobody else hurt."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from millstream.consumers import Backoff
from millstream.core.config import as_environ
from millstream.core.embedded.process import is_alive
from millstream.core.workers import Workers as Reports
from tests.invariants import check

from .conftest import Bench, until
from .isolated_app import Task
from .killed_processes_app import IN_PROCESS, IN_WORKER, Fated
from .processes import EXPIRES_SOON

HERE = Path(__file__).parent


class Crew:
    """Worker processes; one that dies is started again while `tend` runs."""

    def __init__(self, bench: Bench, app: str) -> None:
        self.bench = bench
        self._app = str(HERE / app) + ":registry"
        self.all: list[subprocess.Popen[bytes]] = []
        self.deaths = 0
        self._settings: dict[str, object] = {}
        self._ending = False

    def start(self, **settings: object) -> subprocess.Popen[bytes]:
        base = {"lease": 30.0, "sweep": 0.1, "processes": 2}
        self._settings = settings or self._settings
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        environ["FATED"] = "yes"
        environ |= as_environ(self.bench.settings(**(base | self._settings)))
        command = [sys.executable, "-m", "millstream.cli", "worker", "--app", self._app]
        self.all.append(subprocess.Popen(command, env=environ))
        return self.all[-1]

    async def tend(self, *, lone: bool = False) -> None:
        """`lone`: there is one worker, so that no lease of a dead one need be waited for."""
        while not self._ending:
            for process in list(self.all):
                if process.poll() is not None:
                    self.all.remove(process)
                    if lone:
                        await self.bench.queue.reap(0, 9)
                    self.deaths += 1
                    self.start()
            await asyncio.sleep(0.02)

    def end(self) -> None:
        self._ending = True
        for process in self.all:
            process.kill()
            process.wait()


@pytest.fixture
def crew(bench: Bench) -> Iterator[Crew]:
    crew = Crew(bench, "isolated_app.py")
    yield crew
    crew.end()


@pytest.fixture
def fated(bench: Bench) -> Iterator[Crew]:
    crew = Crew(bench, "killed_processes_app.py")
    yield crew
    crew.end()


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(str(tmp_path / "notes"), str(tmp_path / "go"))


async def until_told(task: Task, words: int = 1) -> list[int]:
    await until(lambda: len(task.told()) >= words)
    return list(map(int, task.told()))


async def until_gone(*pids: int) -> None:
    await until(lambda: not any(map(is_alive, pids)))


def children_of(worker: psutil.Process) -> list[psutil.Process]:
    try:
        return worker.children()
    except psutil.NoSuchProcess:
        return []


async def exit_code(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


@pytest.mark.parametrize("type", ["iso.wait", "iso.hog"])
async def test_a_killed_worker_leaves_no_process(crew: Crew, task: Task, type: str) -> None:
    """Not even one whose handler never lets another thread have its turn."""
    worker = crew.start()
    await crew.bench.submit(type, task)
    (pid,) = await until_told(task)
    assert psutil.Process(pid).ppid() == worker.pid
    worker.kill()
    await until_gone(pid)


async def test_sigterm_to_all_is_a_drain(crew: Crew, task: Task) -> None:
    """As service managers do it: every process of the worker gets the signal."""
    worker = crew.start(grace=30.0)
    job = await crew.bench.submit("iso.wait", task)
    (pid,) = await until_told(task)
    os.kill(pid, signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    task.let_go()
    assert await exit_code(worker) == 0
    assert (await crew.bench.types(job)) == ["submitted", "started", "succeeded"]
    await until_gone(pid)


@pytest.mark.parametrize("type", ["iso.wait", "iso.hog"])
async def test_a_drain_hands_back_what_does_not_end(crew: Crew, task: Task, type: str) -> None:
    worker = crew.start(grace=0.2)
    job = await crew.bench.submit(type, task, max_attempts=1)
    (pid,) = await until_told(task)
    worker.send_signal(signal.SIGTERM)
    assert await exit_code(worker) == 0
    assert not is_alive(pid)
    assert (await crew.bench.types(job)) == ["submitted", "started", "released"]


async def test_a_second_signal_ends_all_at_once(crew: Crew, task: Task) -> None:
    worker = crew.start(grace=60.0)
    await crew.bench.submit("iso.hog", task)
    (pid,) = await until_told(task)
    worker.send_signal(signal.SIGTERM)

    async def drains() -> bool:
        seen = await Reports(crew.bench.redis, crew.bench.keys).all()
        return [one.condition for one in seen] == ["draining"]

    await until(drains)  # two signals of which it has not had the first are one
    worker.send_signal(signal.SIGTERM)
    assert await exit_code(worker) == 128 + signal.SIGTERM
    await until_gone(pid)


async def test_a_worker_overtaken_loses_its_process_as_well(crew: Crew, task: Task) -> None:
    """Stopped past its lease, its process goes on for a while: what it does does not count."""
    bench = crew.bench
    first = crew.start()
    job = await bench.submit("iso.wait", task)
    (pid,) = await until_told(task)
    first.send_signal(signal.SIGSTOP)
    second = crew.start(**EXPIRES_SOON)
    _, other = await until_told(task, 2)
    first.send_signal(signal.SIGCONT)
    await until_gone(pid)
    task.let_go()
    assert await bench.ended(job) == [
        "submitted", "started", "lease_expired", "started", "succeeded",
    ]  # fmt: skip
    assert (await bench.last(job))["result"]["data"] == other
    assert psutil.Process(other).ppid() == second.pid
    assert first.poll() is None


@pytest.mark.slow
async def test_one_poison_job_among_fifty_neighbours(crew: Crew, task: Task) -> None:
    """It takes one worker along, and with it its neighbours there, once."""
    bench = crew.bench
    for _ in range(2):
        crew.start(concurrency=30, **EXPIRES_SOON)
    tending = asyncio.create_task(crew.tend())
    neighbours = await bench.submit_many("loop.neighbour", [task] * 50)
    poison = await bench.submit("loop.poison", task)
    await until_told(task, 50)
    shared = len(set(task.told()))
    first = set(await bench.queue.serving())
    task.let_go(".poison")
    await until(lambda: crew.deaths == 1)
    task.let_go()
    assert (await bench.ended(poison))[-3:] == ["started", "crashed", "failed"]
    assert (await bench.last(poison))["reason"] == "poison"
    crashes = 0
    for job in neighbours:
        types = await bench.ended(job)
        assert types[-1] == "succeeded"
        assert types.count("lease_expired") + types.count("crashed") <= 1
        crashes += types.count("lease_expired")
    assert shared == 2
    assert 0 < crashes < 50, "the neighbours in the process that died, and no others"
    assert crew.deaths == 1
    tending.cancel()
    assert (await bench.types(poison)).count("lease_expired") == 1

    async def another_serves() -> bool:
        return bool(set(await bench.queue.serving()) - first)

    await until(another_serves)  # before that, a signal just kills it
    for process in crew.all:
        process.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 0
    (await check(bench.url, ["default"])).require()


@pytest.mark.slow
async def test_killed_at_random_nothing_is_lost(crew: Crew, task: Task) -> None:
    """Workers and processes, at any moment, with timeouts in between."""
    bench, chance = crew.bench, random.Random(11)
    for _ in range(2):
        crew.start(max_crashes=99, lease=1.1, command_timeout=0.5)
    tending = asyncio.create_task(crew.tend())
    sure = await bench.submit("iso.wait", task)
    await until_told(task)

    async def crashed() -> bool:
        # Where such a short lease has expired before, it is another process that must be hit.
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(task.told()[-1])).kill()
        return "crashed" in await bench.types(sure)

    await until(crashed)
    task.let_go()
    jobs = [sure]
    for turn in range(20):
        numbers = list(range(6 * turn, 6 * turn + 6))
        jobs += await bench.submit_many("mix.process", numbers, backoff=Backoff(delay=0.01))
        jobs += await bench.submit_many("mix.loop", [None] * 15)
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        workers = [psutil.Process(one.pid) for one in crew.all if one.poll() is None]
        processes = [child for one in workers for child in children_of(one)]
        victims = workers if turn % 5 == 4 else processes or workers
        if victims:
            with suppress(psutil.NoSuchProcess):  # its worker may have ended it just now
                chance.choice(victims).kill()

    async def nothing_left() -> bool:
        return not any([await bench.queue.job(job) for job in jobs])

    await until(nothing_left, 180)
    tending.cancel()
    report = (await check(bench.url, ["default"], acknowledged=jobs, drained=True)).require()
    assert any("died: killed by SIGKILL" in why for why in report.reruns[sure])


@pytest.mark.slow
async def test_a_worker_killed_at_each_point(fated: Crew, tmp_path: Path) -> None:
    bench = fated.bench
    fated.start(concurrency=1, processes=1, process_max_jobs=1)
    tending = asyncio.create_task(fated.tend(lone=True))
    tasks = [Fated(str(tmp_path), point) for point in IN_WORKER]
    for task in tasks:  # one after the other: a worker must not die with two of them
        types = await bench.ended(await bench.submit("fated", task))
        assert types[-1] == "succeeded"
        # The log may tell of the end before its worker has come to that point.
        await until(lambda task=task: "killed" in task.told())
        told = task.told()
        begun = [word for word in told if word.startswith("begun")]
        assert 1 <= len(begun) <= IN_WORKER[task.point], task.point
        assert len(set(begun)) == len(begun), "each time by another worker"
        assert types.count("lease_expired") == (task.point != "after the verdict was sent")
        assert "crashed" not in types
    await until(lambda: fated.deaths == len(IN_WORKER))
    tending.cancel()
    await asyncio.gather(tending, return_exceptions=True)
    children = [
        child.pid for one in fated.all for child in psutil.Process(one.pid).children(recursive=True)
    ]
    fated.end()
    await until_gone(*children)
    (await check(bench.url, ["default"])).require()


@pytest.mark.slow
async def test_a_process_killed_at_each_point(fated: Crew, tmp_path: Path) -> None:
    bench = fated.bench
    worker = fated.start(concurrency=2, processes=1)
    for task in [Fated(str(tmp_path), point) for point in IN_PROCESS]:
        (job,) = await bench.submit_many("fated", [task])
        # It waits for the process, and is not to pay for the death of another.
        follower = await bench.submit("fated.next", Fated(str(tmp_path), "none"))
        types = await bench.ended(job)
        calm = ["submitted", "started", "succeeded"]
        assert await bench.ended(follower) == calm, task.point
        await until(lambda task=task: "killed" in task.told())
        assert types[-1] == "succeeded"
        assert [type for type in types if type == "crashed"] == IN_PROCESS[task.point], task.point
        effects = 2 if task.point == "before the step is kept" else 1
        assert task.told().count("effect") == effects, task.point
    assert worker.poll() is None
    (await check(bench.url, ["default"])).require()

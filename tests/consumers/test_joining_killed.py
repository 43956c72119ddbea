"""Workers killed wherever ends are told: every dependent goes on once, and as it should."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.core.codec import wrap
from millstream.core.config import as_environ
from millstream.core.events import JobSubmitted
from millstream.core.ids import new_id
from millstream.core.submitting import NewJob, new_job
from tests.invariants import check

from .conftest import Bench, until
from .joining_app import FOLDER, POINTS

APP = str(Path(__file__).with_name("joining_app.py")) + ":registry"
QUEUES = ("one", "two", "three")


class Pair:
    """Two workers at a time: for each that dies the next is started."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        settings = bench.settings(
            queues=(*QUEUES, "last"), lease=2.5, sweep=0.1, max_crashes=99,
            unknown_types="accept",
        )  # fmt: skip
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        self._environ = environ | as_environ(settings) | {FOLDER: str(folder)}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.deaths = 0
        self._ended = False

    async def live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(self._one())

    async def _one(self) -> None:
        command = [sys.executable, "-m", "millstream.cli", "worker", "--app", APP]
        while not self._ended:
            process = subprocess.Popen(command, env=self._environ)  # noqa: ASYNC220 (quick)
            self._processes.append(process)
            await asyncio.to_thread(process.wait)
            self.deaths += 1

    def end(self) -> None:
        self._ended = True
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def pair(bench: Bench, tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(bench, tmp_path)
    yield pair
    pair.end()


def family(policy: str, tasks: tuple[str, ...]) -> tuple[dict[str, NewJob], NewJob]:
    """Parents by queue, and the job of queue `last` that waits for them."""
    ids = {queue: new_id(queue) for queue in QUEUES}
    child = new_id("last")
    spec = JobSubmitted(
        "linked", payload=wrap("child"), on_parent_failure=policy, depends_on=list(ids.values())
    )
    parents = {
        queue: new_job(id, JobSubmitted("linked", payload=wrap(task), max_attempts=1))._replace(
            before=[child]
        )
        for (queue, id), task in zip(ids.items(), tasks, strict=True)
    }
    return parents, new_job(child, spec)


async def all_told(bench: Bench) -> bool:
    """Whether no outbox holds anything any more."""
    return not any([await bench.directory.queue(queue).outbox() for queue in QUEUES])


@pytest.mark.slow
async def test_killed_at_each_point(bench: Bench, pair: Pair) -> None:
    for queue in (*QUEUES, "last"):
        await bench.directory.register(queue)
    living = asyncio.create_task(pair.live())
    wanted: dict[str, tuple[str, ...]] = {}
    for number in range(40):
        failing = number % 4 == 3
        tasks = ("ok", "fail" if failing else "ok", "ok")
        parents, child = family("run" if number % 8 == 3 else "fail", tasks)
        for queue, parent in parents.items():
            await bench.directory.queue(queue).submit([parent])
        await bench.directory.queue("last").submit([child])
        ran = ("submitted", "joined", "started", "succeeded")
        wanted[child.id] = ("submitted", "failed") if number % 8 == 7 else ran
    for child in wanted:
        await bench.ended(child, 120, "last")
    await until(lambda: pair.deaths == len(POINTS))
    await until(lambda: all_told(bench))
    living.cancel()
    pair.end()
    stories: dict[str, list[str]] = {}
    for record in await bench.queue_log("last"):
        if record.job:
            stories.setdefault(record.job, []).append(record.type.removeprefix("job."))
    for child, story in wanted.items():
        told = tuple(one for one in stories[child] if one != "lease_expired")
        once = tuple(dict.fromkeys(told))
        assert once == story, stories[child]
        assert Counter(told)["joined"] <= 1
    report = await check(bench.url, [*QUEUES, "last"], drained=True)
    report.require()

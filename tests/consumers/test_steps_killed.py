"""Workers killed at every point between the effect of a step and the end of its job."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from millstream.core.config import as_environ
from tests.invariants import check

from .conftest import Bench
from .killed_app import POINTS, Fated

APP = str(Path(__file__).with_name("killed_app.py")) + ":registry"


class Mortal:
    """One worker at a time: when it is dead the next is started."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        settings = bench.settings(concurrency=1, lease=30.0, sweep=0.1, unknown_types="accept")
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        self._environ = environ | as_environ(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.deaths = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "millstream.cli", "worker", "--app", APP]
        self._process = subprocess.Popen(command, env=self._environ)

    async def live(self) -> None:
        while True:
            self.start()
            assert self._process is not None
            await asyncio.to_thread(self._process.wait)
            await self._bench.queue.reap(0, 9)  # as if its lease had expired
            self.deaths += 1

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()


@pytest.fixture
def mortal(bench: Bench) -> Iterator[Mortal]:
    mortal = Mortal(bench)
    yield mortal
    mortal.end()


@pytest.mark.slow
async def test_killed_at_each_point(bench: Bench, mortal: Mortal, tmp_path: Path) -> None:
    tasks = [Fated(str(tmp_path), point) for point in POINTS]
    jobs = await bench.submit_many("fated", tasks)
    living = asyncio.create_task(mortal.live())
    for job in jobs:
        assert (await bench.ended(job, 120))[-1] == "succeeded"
    living.cancel()
    mortal.end()
    assert mortal.deaths == len(POINTS)
    for task, job in zip(tasks, jobs, strict=True):
        assert task.told().count("killed") == 1, task.point
        assert task.told().count("charged") == POINTS[task.point], task.point
        bodies = [
            msgspec.json.decode(one.body)
            for one in await bench.history(job)
            if one.type == "job.checkpointed"
        ]
        assert [body["step"] for body in bodies] == ["charge", "submit-1", "sleep-1"]
    mails = [
        msgspec.json.decode(one.body)["payload"]["data"]
        for one in await bench.queue_log("mails")
        if one.type == "job.submitted"
    ]
    assert sorted(mails) == sorted(POINTS), "each of them once"
    (await check(bench.url, ["default", "mails"])).require()

"""Flows without an API server: the projector looks after them, killed wherever it does so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from millstream.core.config import Settings, as_environ
from millstream.core.connection import connect
from millstream.core.events import JobSubmitted, JobSucceeded, body_of
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.keys import Keys
from millstream.core.queue import Directory, Finish
from millstream.core.submitting import new_job
from tests.invariants import check
from tests.projections.stage import until

PROJECTOR = """
import os, signal
from millstream.core import config, joining
from millstream.core.queue import PartitionQueue
from millstream.projections import linker
from millstream.projections.service import serve

linker.LONG_MS, linker.SWEEP, joining.LEFT_BEHIND_MS = 300, 0.1, 300

def fatal(verb, before, after):
    async def call(self, *args, **named):
        if POINT == before:
            os.kill(os.getpid(), signal.SIGKILL)
        said = await verb(self, *args, **named)
        if said and POINT == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return said
    return call

POINT = {!r}
PartitionQueue.collect = fatal(PartitionQueue.collect, None, "when an end was taken")
PartitionQueue.overdue = fatal(PartitionQueue.overdue, None, "when jobs were named")
PartitionQueue.join = fatal(PartitionQueue.join, "before a job is told", "after a job was told")
serve(config.load())
"""

POINTS = [
    "when an end was taken", "when jobs were named", "before a job is told", "after a job was told",
]  # fmt: skip


@pytest.fixture
async def directory(settings: Settings) -> AsyncIterator[Directory]:
    redis = connect(settings.redis_url, timeout=settings.command_timeout)
    yield Directory(redis, Keys(settings.namespace))
    await redis.aclose()


@pytest.mark.parametrize("point", POINTS)
async def test_ends_are_told_though_no_api_is_there(
    settings: Settings, directory: Directory, point: str
) -> None:
    """One parent had ended, for all its submitter knew; the other ends where no worker tells it."""
    queue = directory.queue("default")
    over, runs = [await submit(directory, "p") for _ in range(2)]
    await succeed(directory, over)
    unsure = await submit(directory, "default", over, "?")
    await directory.queue("p").watch([(runs, told := new_id("default"))])
    await submit(directory, "default", runs, id=told)
    await succeed(directory, runs)
    killed = await start_projector(settings, point)
    async with asyncio.timeout(60):
        assert await killed.wait() == -signal.SIGKILL
    heir = await start_projector(settings, "")

    async def go_on() -> bool:
        jobs = [await queue.job(job) for job in (unsure, told)]
        return all(job is not None and job.state is JobState.QUEUED for job in jobs)

    try:
        await until(go_on)
    finally:
        heir.terminate()
        await heir.wait()
    (await check(settings.redis_url, ["default", "p"])).require()


async def submit(
    directory: Directory, partition: str, parent: str = "", ended: str = "", id: str = ""
) -> str:
    await directory.register(partition)
    await directory.link(partition)
    spec = JobSubmitted("noop", depends_on=[parent] if parent else [])
    job = new_job(id or new_id(partition), spec)
    job = job._replace(ended={parent: ended} if ended else {})
    await directory.queue(partition).submit([job])
    return job.id


async def succeed(directory: Directory, job: str) -> None:
    queue = directory.queue("p")
    (lease,) = (await queue.claim("w1", 1)).leases
    assert lease.id == job
    body = body_of(JobSucceeded())
    assert await queue.finish([Finish(job, lease.fence, "succeeded", body)]) == [True]


async def start_projector(settings: Settings, point: str) -> asyncio.subprocess.Process:
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROJECTOR.format(point), env=environ | as_environ(settings)
    )

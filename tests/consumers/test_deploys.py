"""Old and new code side by side: jobs that only the new code knows wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from millstream.consumers.outcomes import ELSEWHERE_RELEASE
from millstream.core.workers import Workers as Reports
from tests.invariants import check

from .conftest import Bench, until
from .processes import Workers, exit_code

OLD = """
import asyncio
import os
from pathlib import Path
from millstream.consumers import Context, Registry
registry = Registry()

@registry.job("known")
async def known(ctx: Context, payload: object) -> int:
    return os.getpid()
"""

NEW = (
    OLD
    + """
@registry.job("fresh")
async def fresh(ctx: Context, payload: object) -> int:
    return os.getpid()

@registry.job("hold")
async def hold(ctx: Context, payload: str) -> None:
    Path(payload, "holds").touch()
    while not Path(payload, "go").exists():
        await asyncio.sleep(0.01)
"""
)


@pytest.fixture
def apps(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "old_app.py", tmp_path / "new_app.py"
    for path, code in zip(paths, (OLD, NEW), strict=True):
        path.write_text(code)
    old, new = (f"{path}:registry" for path in paths)
    return old, new


@pytest.fixture
def workers(bench: Bench, tmp_path: Path, apps: tuple[str, str]) -> Iterator[Workers]:
    workers = Workers(bench, tmp_path, apps[0])
    yield workers
    workers.end()


async def releases(bench: Bench, job: str) -> list[int]:
    """How long (ms) the job was put off each time that nobody could run it."""
    told = [one.body for one in await bench.history(job) if one.type == "job.released"]
    bodies = map(msgspec.json.decode, told)
    return [one["delay_ms"] for one in bodies if one["reason"] == "handler_missing"]


async def test_a_job_of_new_code_waits_for_it(workers: Workers, apps: tuple[str, str]) -> None:
    bench = workers.bench
    await workers.start(code_version="v1")
    jobs = await bench.submit_many("fresh", [None] * 20, max_attempts=1)

    async def twice() -> bool:
        return all([len(await releases(bench, job)) >= 2 for job in jobs])

    await until(twice)
    known = await bench.submit("known")
    assert await bench.ended(known) == ["submitted", "started", "succeeded"], "it is not held up"
    for job in jobs:
        assert set(await bench.types(job)) == {"submitted", "started", "released", "queued"}
        # Each time later, and never at once: nothing spins.
        assert all(delay >= 1000 for delay in await releases(bench, job))
    new = await workers.start(app=apps[1], code_version="v2")
    for job in jobs:
        types = await bench.ended(job)
        assert types[-1] == "succeeded"
        assert "attempt_failed" not in types
        assert (await bench.last(job))["result"]["data"] == new.pid
        assert msgspec.json.decode((await bench.history(job))[-2].body)["attempt"] == 1
    (await check(bench.url, ["default"])).require()


async def test_once_only_new_code_runs_none_is_put_off(
    workers: Workers, apps: tuple[str, str]
) -> None:
    bench = workers.bench
    old = await workers.start()
    job = await bench.submit("fresh")
    await until(lambda: _released(bench, job))
    old.terminate()
    assert await asyncio.to_thread(old.wait, 60) == 0
    count = len(await releases(bench, job))
    await workers.start(app=apps[1])
    assert (await bench.ended(job))[-1] == "succeeded"
    assert len(await releases(bench, job)) == count


async def test_old_code_does_not_give_up_what_new_code_can_run(
    workers: Workers, apps: tuple[str, str], tmp_path: Path
) -> None:
    """However long the jobs have waited: here each is old enough to be given up at once."""
    bench = workers.bench
    new = await workers.start(app=apps[1], concurrency=1)
    await bench.submit("hold", str(tmp_path))  # so that the old code is given all the others
    await until((tmp_path / "holds").exists)
    await until(lambda: _reported(bench, "fresh"))
    old = [await workers.start(handler_missing_after=0.0) for _ in range(2)]
    jobs = await bench.submit_many("fresh", [None] * 30, max_attempts=1)

    async def each_was_put_off() -> bool:
        return all([await releases(bench, job) for job in jobs])

    await until(each_was_put_off)
    for one in old:
        one.terminate()
        assert await exit_code(one) == 0
    (tmp_path / "go").touch()
    for job in jobs:
        assert (await bench.ended(job))[-1] == "succeeded"
        assert (await bench.last(job))["result"]["data"] == new.pid
        told = await releases(bench, job)
        assert all(delay <= ELSEWHERE_RELEASE for delay in told)
    (await check(bench.url, ["default"])).require()


async def _reported(bench: Bench, type: str) -> bool:
    found = await Reports(bench.redis, bench.keys).all()
    return any(type in one.report.types for one in found)


async def _released(bench: Bench, job: str) -> bool:
    return bool(await releases(bench, job))

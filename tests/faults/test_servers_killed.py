"""Servers die under load; nothing of ours is restarted, and nothing acknowledged is lost."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from tests.invariants import check

from .system import APP, System, running


@pytest.fixture
async def system(folder: Path) -> AsyncGenerator[System]:
    async with running(folder) as found:
        yield found


async def _load(system: System, count: int, refused: list[int]) -> None:
    for number in range(count):
        kind = ("fault.quick", "fault.flaky", "fault.slow")[number % 3]
        payload = 0.05 if kind == "fault.slow" else number
        if await system.submit(kind, payload) is None:
            refused.append(number)


async def _sound(system: System) -> None:
    report = await check(
        system.valkey.url,
        ["default"],
        acknowledged=system.accepted,
        drained=True,
        dsn=system.postgres.dsn,
    )
    assert report.violations == []


async def test_redis_killed_and_restarted_from_its_file(system: System) -> None:
    refused: list[int] = []
    await _load(system, 60, refused)
    async with anyio.create_task_group() as group:
        group.start_soon(_load, system, 120, refused)
        await anyio.sleep(0.1)
        await anyio.to_thread.run_sync(system.valkey.kill)
        await anyio.to_thread.run_sync(system.valkey.start)
    await _load(system, 30, refused)
    await system.ended()
    assert all(process.poll() is None for process in system.processes.values())
    await _sound(system)


async def test_postgres_killed_and_restarted(system: System) -> None:
    refused: list[int] = []
    await _load(system, 30, refused)
    await anyio.to_thread.run_sync(system.postgres.kill)
    accepted_before = len(system.accepted)
    await _load(system, 60, refused)
    assert refused == [], "submission goes on without PostgreSQL"
    assert len(system.accepted) == accepted_before + 60
    await anyio.to_thread.run_sync(system.postgres.start)
    await system.ended()
    assert all(process.poll() is None for process in system.processes.values())
    await _sound(system)


async def test_worker_killed_in_mid_job(system: System) -> None:
    go = system.folder / "go"
    job = await system.submit("fault.held", str(go))
    assert job is not None
    await system.running(job)
    system.processes["worker"].kill()
    system.processes["worker"].wait()
    go.touch()  # the second one is done with it at once
    system.shorten_leases()
    system.start("second", "worker", "--app", APP)
    await system.ended()
    found = await system.job(job)
    assert (found["state"], found["crashes"], found["attempt"]) == ("succeeded", 1, 1)
    await _sound(system)

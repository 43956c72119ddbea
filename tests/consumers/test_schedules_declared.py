"""Schedules declared in code: in force with the worker, and no fight with who else changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from millstream.consumers import Context, Registry

from .conftest import Bench
from .planner import BY, Planner, planner

__all__ = ["planner"]

Declare = Callable[..., Registry]


@pytest.fixture
def declare() -> Declare:
    def made(**how: Any) -> Registry:
        registry = Registry()

        @registry.job("report", **how)
        async def report(ctx: Context, payload: Any) -> None: ...

        return registry

    return made


async def test_a_declared_schedule_is_in_force_when_the_worker_has_started(
    bench: Bench, planner: Planner, declare: Declare
) -> None:
    await bench.worker(declare(cron="0 3 * * *", timezone="Europe/Vienna", queue="reports"))
    schedule = (await planner.state("report")).schedule()
    assert (schedule.cron, schedule.timezone) == ("0 3 * * *", "Europe/Vienna")
    assert (schedule.queue, schedule.type, schedule.max_attempts) == ("reports", "report", 5)
    (created,) = await planner.told("created", "reports")
    assert created["actor"].startswith("worker ")
    assert created["reason"] == "declared in code"
    assert created["digest"] == (await planner.state("report")).digest


async def test_every_field_may_be_declared(
    bench: Bench, planner: Planner, declare: Declare
) -> None:
    more = {"name": "nightly", "overlap": "skip", "payload": {"n": 1}, "jitter": 60}
    await bench.worker(declare(every=3600, schedule=more))
    schedule = (await planner.state("nightly")).schedule()
    assert (schedule.overlap, bytes(schedule.payload), schedule.every) == ("skip", b'{"n":1}', 3600)


async def test_a_restart_undoes_nothing_and_a_new_declaration_counts(
    bench: Bench, planner: Planner, declare: Declare
) -> None:
    await (await bench.worker(declare(every=60))).drain()
    own = planner.all.of("default")
    state = await planner.state("report")
    await planner.all.put(msgspec.structs.replace(state.schedule(), every=90.0), BY, old=state)
    await own.pause("report", BY)
    await (await bench.worker(declare(every=60))).drain()
    state = await planner.state("report")
    assert (state.schedule().every, state.paused) == (90, BY)
    await (await bench.worker(declare(every=30))).drain()
    state = await planner.state("report")
    assert (state.schedule().every, state.paused) == (30, BY)
    await own.delete("report", BY)
    await planner.all.forget("report", "default")
    await (await bench.worker(declare(every=30))).drain()
    assert await planner.all.find("report") is None


async def test_two_deployments_do_not_fight(
    bench: Bench, planner: Planner, declare: Declare
) -> None:
    await bench.worker(declare(every=60))
    await bench.worker(declare(every=30))
    before = await planner.state("report")
    await asyncio.sleep(1)  # five sweeps
    now = await planner.state("report")
    assert (now.version, now.raw) == (before.version, before.raw)  # it may have fired meanwhile
    assert len(await planner.told("updated")) == 1


async def test_a_name_that_is_taken_is_told_and_stops_no_worker(
    bench: Bench, planner: Planner, declare: Declare
) -> None:
    await planner.make("report", queue="other")
    with capture_logs() as logs:
        await bench.worker(declare(every=60))
    (told,) = [one for one in logs if one["event"] == "a declared schedule was left out"]
    assert told["reason"] == "a schedule of that name lives in another queue"
    assert (await planner.state("report")).schedule().every == 3600

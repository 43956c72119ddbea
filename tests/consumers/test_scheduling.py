"""Workers fire schedules: in time, once, whatever else goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from millstream.consumers import Context, Registry
from millstream.consumers.scheduling import Scheduling
from millstream.core.embedded import Valkey
from tests.invariants import check

from .conftest import Bench, until
from .planner import BY, Planner, Ticks, planner, ticks

__all__ = ["planner", "ticks"]

DAY = 86400
DAILY: dict[str, Any] = {"every": DAY, "catchup": 2 * DAY}
"""So seldom that no occurrence comes while a test runs, but at midnight (UTC)."""


async def test_occurrences_fire_in_time_and_handlers_know_them(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await planner.make(every=1)
    worker = await bench.worker(registry, sweep=3600.0)  # its clock alone can tell it
    fired = await planner.until_told("fired", 3)
    assert all(one["time"] >= one["occurrence"] for one in fired), fired
    first = fired[0]["occurrence"]
    assert [one["occurrence"] - first for one in fired[:3]] == [0, 1000, 2000]
    assert {one.get("cause", "due") for one in fired} == {"due"}
    await until(lambda: len(ticks) >= 3)
    start = datetime.fromtimestamp(first / 1000, UTC)
    assert ticks[:3] == [("s", start + timedelta(seconds=n)) for n in range(3)]
    await worker.drain()
    (await check(bench.url, ["default"])).require()


async def test_a_job_that_somebody_submitted_has_no_occurrence(
    bench: Bench, registry: Registry, ticks: Ticks
) -> None:
    await bench.worker(registry)
    await bench.ended(await bench.submit("tick"))
    assert ticks == [(None, None)]


async def test_after_a_stop_the_newest_is_fired_and_the_rest_is_told(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await planner.make(**DAILY)
    first = await planner.put_back(seconds=5 * DAY)
    await bench.worker(registry)
    (fired,) = await planner.until_told("fired")
    assert (fired["cause"], fired["occurrence"]) == ("catch_up", first + 5000 * DAY)
    (missed,) = await planner.told("skipped")
    assert (missed["reason"], missed["count"]) == ("missed", 5)
    assert (missed["occurrence"], missed["last"]) == (first, first + 4000 * DAY)


async def test_a_window_of_nothing_misses_all_that_is_late(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await planner.make(every=600, catchup=0.0)
    await planner.put_back(seconds=3000)
    await bench.worker(registry)
    (missed,) = await planner.until_told("skipped")
    state = await planner.state()
    assert state.next == missed["last"] + 600_000
    assert missed["count"] + len(await planner.told("fired")) == 6


async def test_a_buffered_occurrence_runs_soon_after_the_running_one_ends(
    bench: Bench, planner: Planner, registry: Registry
) -> None:
    go, ran = asyncio.Event(), list[datetime | None]()

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        ran.append(ctx.occurrence)
        await go.wait()

    await planner.make(every=1, overlap="buffer_one")
    await bench.worker(registry, sweep=3600.0)
    skipped = (await planner.until_told("skipped"))[0]
    assert skipped["reason"] == "buffered"
    assert len(ran) == 1
    go.set()
    second = (await planner.until_told("fired", 2))[1]
    assert second["occurrence"] == skipped["occurrence"] - 1000


async def test_a_paused_schedule_waits_and_goes_on_from_its_next(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await planner.make(every=1)
    await planner.make("other", every=1)
    await planner.all.of("default").pause("s", BY)
    await bench.worker(registry)
    fired = await planner.until_told("fired", 2)
    assert {one["schedule"] for one in fired} == {"other"}
    now = await planner.all.now()
    await planner.all.of("default").resume(await planner.state(), BY, now)

    async def resumed() -> bool:
        return any(one["schedule"] == "s" for one in await planner.told("fired"))

    await until(resumed)
    first = next(one for one in await planner.told("fired") if one["schedule"] == "s")
    assert first["occurrence"] > now
    assert await planner.told("skipped") == []


async def test_a_schedule_of_a_later_release_stops_no_other(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    for name in ("bad", "worse", "good"):
        await planner.make(name, every=1)
        await planner.put_back(name)
    for name, spec in (("bad", b'{"name":"bad","type":"t","lunar":1}'), ("worse", b"{")):
        await bench.redis.hset(bench.keys.schedule("default", name), "spec", spec)
    with capture_logs() as logs:
        await bench.worker(registry)
        fired = await planner.until_told("fired", 3)
    assert {one["schedule"] for one in fired} == {"good"}
    told = [one["schedule"] for one in logs if "cannot be read" in one["event"]]
    assert sorted(told) == ["bad", "worse"], "each once, not each time"


async def test_more_than_a_batch_at_one_instant(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await asyncio.gather(*(planner.make(f"s{n}", **DAILY) for n in range(40)))
    for n in range(80):
        await planner.make(f"t{n}", **DAILY)
    for name in [f"s{n}" for n in range(40)] + [f"t{n}" for n in range(80)]:
        await planner.put_back(name)
    await asyncio.gather(*(bench.worker(registry) for _ in range(3)))
    await until(lambda: len(ticks) >= 120)
    fired = await planner.told("fired")
    assert len({one["schedule"] for one in fired}) == len(fired) == 120


async def test_more_queues_than_connections(
    bench: Bench, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"q{n}" for n in range(100)]
    for name in names:
        await planner.make(name, queue=name, **DAILY)
        await planner.put_back(name, queue=name)
    scheduling = Scheduling(planner.all, bench.directory.subject_keys, lambda: names, 60)
    with capture_logs() as logs:
        await scheduling.fire()
    assert logs == []
    for name in names:
        assert len(await planner.told("fired", name)) == 1
    # Between sweeps only those are asked whose time has come: none.
    monkeypatch.setattr(planner.all, "of", lambda _: 1 / 0)
    assert 0 < await scheduling.fire() <= 60


async def test_a_queue_found_later_has_its_schedules_fired(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await bench.worker(registry, queues=("*",))
    await planner.make(every=1, queue="new")
    await until(lambda: bool(ticks))


async def test_it_goes_on_after_redis_was_gone(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks, valkey_server: Valkey
) -> None:
    await planner.make(every=1)
    await bench.worker(registry)
    await planner.until_told("fired")
    await asyncio.to_thread(valkey_server.stop)
    await asyncio.sleep(1.2)  # so long that an occurrence passes
    await asyncio.to_thread(valkey_server.start)

    async def again() -> bool:
        try:
            return len(await planner.told("fired")) >= 4
        except Exception:
            return False

    await until(again)
    fired = [one["occurrence"] for one in await planner.told("fired")]
    assert len(set(fired)) == len(fired)


async def test_nothing_it_meets_ends_it(
    bench: Bench, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planner.make(every=1)
    scheduling = Scheduling(planner.all, bench.directory.subject_keys, lambda: ["default"], 0.2)
    with capture_logs() as logs:
        monkeypatch.setattr(planner.all, "of", lambda _: 1 / 0)
        assert 0 < await scheduling.fire() <= 0.2
        await asyncio.sleep(0.2)  # the next sweep
        monkeypatch.setattr(planner.all, "partitions", lambda: 1 / 0)
        assert 0 < await scheduling.fire() <= 0.2
    assert [one["log_level"] for one in logs] == ["error", "error"]

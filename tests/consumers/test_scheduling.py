"""Workers fire schedules: in time, once, whatever else goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from millstream.consumers import Context, Registry
from millstream.consumers.scheduling import Scheduling
from millstream.core.embedded import Valkey
from millstream.core.events import Command
from millstream.core.ids import new_id
from millstream.core.log import LogReader
from millstream.core.schedule_index import Schedules
from millstream.core.schedule_store import FiredJob, Firing, State
from millstream.core.schedules import Schedule, job_of
from tests.invariants import check

from .conftest import Bench, until

BY = Command("ada", "test")


class Planner:
    """Makes schedules in the bench's namespace, and reads what became of them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.all = Schedules(bench.redis, bench.keys, bench.directory)

    async def make(self, name: str = "s", **given: Any) -> None:
        fields: dict[str, Any] = {"type": "tick", "queue": "default", "every": 3600} | given
        outcome, _ = await self.all.put(Schedule(name=name, **fields), BY)
        assert outcome == "created"

    async def put_back(self, name: str = "s", seconds: float = 0, queue: str = "default") -> int:
        """Let a schedule stand at an occurrence that long ago, as after a stop."""
        state = await self.state(name)
        every = state.schedule().every
        assert state.next is not None
        assert every is not None
        step = round(every * 1000)
        at = state.next - step * (1 + round(seconds * 1000) // step)
        keys, redis = self.bench.keys, self.bench.redis
        await redis.hset(keys.schedule(queue, name), mapping={"next": at, "due": at})
        await redis.zadd(keys.schedule_due(queue), {name: at})
        return at

    async def state(self, name: str = "s") -> State:
        found = await self.all.find(name)
        assert found is not None
        return found

    async def told(self, kind: str, queue: str = "default") -> list[dict[str, Any]]:
        """Bodies of the events schedule.<kind>, with the time of each."""
        reader = LogReader(self.bench.redis, self.bench.keys)
        return [
            {**msgspec.json.decode(record.body), "time": record.time}
            for record in await reader.range(queue, count=100_000)
            if record.type == f"schedule.{kind}"
        ]

    async def until_told(
        self, kind: str, count: int = 1, seconds: float = 10
    ) -> list[dict[str, Any]]:
        async def enough() -> bool:
            return len(await self.told(kind)) >= count

        await until(enough, seconds)
        return await self.told(kind)


@pytest.fixture
def planner(bench: Bench) -> Planner:
    return Planner(bench)


@pytest.fixture
def ticks(registry: Registry) -> list[tuple[str | None, datetime | None]]:
    """What a handler of type `tick` saw."""
    seen: list[tuple[str | None, datetime | None]] = []

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        seen.append((ctx.schedule, ctx.occurrence))

    return seen


Ticks = list[tuple[str | None, datetime | None]]


async def test_occurrences_fire_in_time_and_handlers_know_them(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    await planner.make(every=1)
    worker = await bench.worker(registry, sweep=5.0)
    fired = await planner.until_told("fired", 3)
    late = [one["time"] - one["occurrence"] for one in fired]
    assert all(0 <= one < 1000 for one in late), late  # a sweep takes five times that
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
    await planner.make(every=600)
    first = await planner.put_back(seconds=3000)
    await bench.worker(registry)
    (fired,) = await planner.until_told("fired")
    assert (fired["cause"], fired["occurrence"]) == ("catch_up", first + 5 * 600_000)
    (missed,) = await planner.told("skipped")
    assert (missed["reason"], missed["count"]) == ("missed", 5)
    assert (missed["occurrence"], missed["last"]) == (first, first + 4 * 600_000)


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
    await bench.worker(registry)
    skipped = (await planner.until_told("skipped"))[0]
    assert skipped["reason"] == "buffered"
    assert len(ran) == 1
    ended = await planner.all.now()
    go.set()
    second = (await planner.until_told("fired", 2))[1]
    assert second["occurrence"] == skipped["occurrence"] - 1000
    assert second["time"] - ended < 2000


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
    await asyncio.gather(*(planner.make(f"s{n}", every=600) for n in range(40)))
    for n in range(80):
        await planner.make(f"t{n}", every=600)
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
        await planner.make(name, queue=name, every=600)
        await planner.put_back(name, queue=name)
    scheduling = Scheduling(planner.all, lambda: names, 60)
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
    await until(lambda: bool(ticks), 10)


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

    await until(again, 15)
    fired = [one["occurrence"] for one in await planner.told("fired")]
    assert len(set(fired)) == len(fired)


async def test_nothing_it_meets_ends_it(
    bench: Bench, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planner.make(every=1)
    scheduling = Scheduling(planner.all, lambda: ["default"], 0.2)
    with capture_logs() as logs:
        monkeypatch.setattr(planner.all, "of", lambda _: 1 / 0)
        assert 0 < await scheduling.fire() <= 0.2
        await asyncio.sleep(0.2)  # the next sweep
        monkeypatch.setattr(planner.all, "partitions", lambda: 1 / 0)
        assert 0 < await scheduling.fire() <= 0.2
    assert [one["log_level"] for one in logs] == ["error", "error"]


# ------------------------------------------------------------------ declared in code

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


# ------------------------------------------------------------------ all at once


class Operator:
    """Does to schedules whatever can be done, in any order."""

    def __init__(self, planner: Planner, chance: random.Random) -> None:
        self.planner = planner
        self.own = planner.all.of("default")
        self.chance = chance

    async def act(self) -> None:
        name = self.chance.choice(["a", "b", "c"])
        state = await self.own.get(name)
        if state is None:
            policy = self.chance.choice(["allow", "skip", "buffer_one", "cancel_running"])
            await self.planner.make(name, every=1, overlap=policy)
            return
        match self.chance.randrange(7):
            case 0:
                await self.own.pause(name, BY)
            case 1 | 2:
                await self.own.resume(state, BY, await self.planner.all.now())
            case 3:
                await self.own.delete(name, BY)
                await self.planner.all.forget(name, "default")
            case 4:
                policy = self.chance.choice(["skip", "buffer_one", "cancel_running"])
                changed = msgspec.structs.replace(state.schedule(), overlap=policy)
                await self.planner.all.put(changed, BY, old=state)
            case _:
                await self.fire(state)

    async def fire(self, state: State) -> None:
        now = await self.planner.all.now()
        wanted = [
            FiredJob(new_id("default"), at, cause, job_of(state.schedule(), at, now))
            for at, cause in ((now, "manual"), (now - 1, "backfill"))
        ]
        await self.own.fire([Firing(state, "allow", wanted, moves=False, by=BY)], f"c{now}")


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_done_each_occurrence_is_handled_once(
    bench: Bench, planner: Planner, registry: Registry, seed: int
) -> None:
    chance = random.Random(seed)

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        await asyncio.sleep(chance.choice([0, 0.1, 1.5]))

    await planner.make("steady", every=1)
    workers = [await bench.worker(registry, lease=1.0, sweep=0.3) for _ in range(3)]
    operator = Operator(planner, chance)
    ends = asyncio.get_running_loop().time() + 5
    while asyncio.get_running_loop().time() < ends:
        await operator.act()
        await asyncio.sleep(chance.uniform(0, 0.1))
    for worker in workers:
        await worker.drain(5)
    (await check(bench.url, ["default"])).require()
    fired = [one for one in await planner.told("fired") if one["schedule"] == "steady"]
    seen = [one["occurrence"] for one in fired]
    assert seen == list(range(seen[0], seen[-1] + 1, 1000))
    assert len(seen) >= 4

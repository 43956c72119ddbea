"""Schedules whose payload is about a person."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.consumers import Context, Registry
from tests.invariants import check

from .conftest import Bench, until
from .planner import Planner, Ticks, planner, ticks
from .test_encrypted import SECRET, Subject

__all__ = ["planner", "ticks"]


async def test_a_schedule_about_a_person_fires_until_they_are_erased(
    bench: Bench, planner: Planner, registry: Registry
) -> None:
    seen: list[Any] = []

    @registry.job("tick")
    async def tick(ctx: Context, payload: Any) -> None:
        seen.append(payload)

    subject = Subject(bench)
    await subject.publish()
    data = subject.key.encrypt("payload", b'"ada@example.org"')
    await planner.make(every=1, payload=data.data, codec=data.codec)
    await planner.make(name="other", every=1, payload=msgspec.Raw(b'"kept"'))
    worker = await bench.worker(registry, erasure_secret=SECRET)
    await until(lambda: {"ada@example.org", "kept"} <= set(seen))
    await subject.keys.erase(subject.digest, [subject.id])
    (paused,) = await planner.until_told("paused")
    assert paused["schedule"] == "s"
    assert paused["actor"] == "schedule s"
    assert paused["reason"].startswith("the key of its subject was erased")
    fired = [one["occurrence"] for one in await planner.told("fired") if one["schedule"] == "s"]
    others = len(await planner.told("fired"))
    await planner.until_told("fired", others + 2)  # the other goes on, it does not
    again = [one["occurrence"] for one in await planner.told("fired") if one["schedule"] == "s"]
    assert again == fired
    assert len(await planner.told("paused")) == 1
    await worker.drain()
    (await check(bench.url, ["default"])).require()


async def test_a_schedule_whose_key_redis_forgot_fires_and_its_jobs_wait_for_it(
    bench: Bench, planner: Planner, registry: Registry, ticks: Ticks
) -> None:
    """Only what was erased is paused: a key that is not there may come back from PostgreSQL."""
    subject = Subject(bench)
    data = subject.key.encrypt("payload", b"1")
    await planner.make(every=1, payload=data.data, codec=data.codec)
    await bench.worker(registry, erasure_secret=SECRET)
    await planner.until_told("fired")
    assert await planner.told("paused") == []
    assert ticks == []
    await subject.publish()
    await until(lambda: bool(ticks))

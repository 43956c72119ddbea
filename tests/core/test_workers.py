"""What workers say of themselves, and what their silence says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from millstream.core.connection import connect
from millstream.core.keys import Keys
from millstream.core.shapes import digest_of
from millstream.core.workers import (
    KEPT,
    SILENT_AFTER,
    STALLED_AFTER,
    Condition,
    Report,
    Seen,
    Workers,
)

KEYS = Keys("ms")


def report(name: str = "host-1-ab", **fields: Any) -> Report:
    given: dict[str, Any] = {
        "host": "host", "pid": 7, "started_at": 1_750_000_000_000, "queues": ["default"],
        "types": ["mail"], "concurrency": 10, **fields,
    }  # fmt: skip
    return Report(name=name, **given)


@pytest.fixture
async def workers(redis_url: str) -> AsyncIterator[Workers]:
    redis = connect(redis_url, timeout=5)
    yield Workers(redis, KEYS)
    await redis.aclose()


async def test_a_report_is_told_as_it_was_made(workers: Workers) -> None:
    told = report(running=2, jobs=["a", "b"], loop_lag=0.25, memory=2**20, version="v7")
    await workers.report(told)
    await workers.report(report("another"))
    other, seen = await workers.all()
    assert (other.report.name, seen.report) == ("another", told)
    assert 0 <= seen.age < 30
    assert seen.condition == "serving"


async def test_who_leaves_is_not_told_any_more(workers: Workers) -> None:
    await workers.report(report())
    await workers.leave("host-1-ab")
    assert await workers.all() == []


async def test_what_it_takes_is_told_once_and_again_if_it_is_gone(workers: Workers) -> None:
    takes = b'{"mail":{"shape":{"kind":"int"}}}'
    told = report(takes=digest_of(takes))
    await workers.report(told, takes)
    await workers.report(report("another", takes=digest_of(takes)), takes)
    assert await workers.takes([told.takes, "unknown"]) == {told.takes: takes}
    key = KEYS.takes(told.takes)
    await workers._redis.pexpire(key, 1000_000)
    await workers.report(told, takes)
    assert await workers._redis.pttl(key) > 1000_000, "it is kept for as long as the report"
    await workers._redis.delete(key)
    await workers.report(told, takes)
    assert await workers.takes([told.takes]) == {told.takes: takes}
    assert await workers.takes([]) == {}


async def test_the_age_of_a_report_is_counted_by_the_server(workers: Workers) -> None:
    await workers.report(report())
    await workers._redis.pexpire(KEYS.worker("host-1-ab"), round((KEPT - 60) * 1000))
    (seen,) = await workers.all()
    assert 60 <= seen.age < 90
    assert seen.condition == "silent"


async def test_a_silent_worker_is_forgotten_in_time(workers: Workers) -> None:
    await workers.report(report())
    await workers._redis.delete(KEYS.worker("host-1-ab"))
    assert await workers.all() == []
    assert await workers._redis.exists(KEYS.workers) == 0


async def test_a_report_of_a_later_release_is_passed_over(workers: Workers) -> None:
    await workers.report(report())
    await workers._redis.set(KEYS.worker("host-1-ab"), b'{"shape":"another"}', px=1000)
    assert await workers.all() == []


@pytest.mark.parametrize(
    ("fields", "age", "condition"),
    [
        ({}, 0.0, "serving"),
        ({"draining": True}, 0.0, "draining"),
        ({"idle_for": STALLED_AFTER + 1}, 0.0, "stalled"),
        ({"idle_for": STALLED_AFTER - 1}, SILENT_AFTER - 1, "serving"),
        ({"draining": True}, SILENT_AFTER + 1, "silent"),
    ],
)
def test_how_it_does(fields: dict[str, Any], age: float, condition: Condition) -> None:
    assert Seen(report(**fields), age).condition == condition

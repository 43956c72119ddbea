"""GET /workers and /job-types: who works, and what can be submitted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millstream.api.views import time_of
from millstream.core.embedded import Postgres
from millstream.core.events import WorkerStarted
from millstream.core.workers import KEPT, Report, Workers

from .conftest import Api, Core, problem, until

MAIL = {"queue": "emails", "max_attempts": 3, "timeout": 30.0, "payload_schema": {"type": "object"},
        "executor": "thread"}  # fmt: skip


def report(name: str, **fields: Any) -> Report:
    return Report(
        name=name, host="mill-1", pid=7, started_at=1_750_000_000_000, queues=["emails"],
        types=["email.send"], concurrency=10, **fields,
    )  # fmt: skip


async def test_workers_as_they_reported(api: Api, core: Core) -> None:
    workers = Workers(core.redis, core.keys)
    await workers.report(report("b", running=1, jobs=["j"], loop_lag=0.5, memory=5, version="v7"))
    await workers.report(report("a", draining=True))
    first, second = api.get("/workers")["items"]
    assert (first["name"], first["state"], first["memory"]) == ("a", "draining", None)
    assert 0 <= second.pop("reported_ago") < 60
    assert second == {
        "name": "b", "state": "serving", "host": "mill-1", "pid": 7, "version": "v7",
        "started_at": "2025-06-15T15:06:40.000Z", "queues": ["emails"], "types": ["email.send"],
        "concurrency": 10, "running": 1, "jobs": ["j"], "loop_lag": 0.5, "memory": 5,
        "lost_at": None,
    }  # fmt: skip


async def test_one_that_is_lost_is_told_from_one_that_is_only_silent(
    api: Api, core: Core, projector: None
) -> None:
    workers, queue = Workers(core.redis, core.keys), core.directory.queue("emails")
    await core.directory.register("emails")
    for name in ("a", "b", "c"):
        await workers.report(report(name))
        await core.redis.pexpire(core.keys.worker(name), round((KEPT - 100) * 1000))
        await queue.announce(WorkerStarted(name))
    assert [one["state"] for one in api.get("/workers")["items"]] == ["silent"] * 3
    assert await queue.lose(["b", "c", "b", "d"]) == [True, True, False, False]
    await queue.announce(WorkerStarted("c"))  # it is back, and fell silent again

    def states() -> list[str]:
        return [one["state"] for one in api.get("/workers")["items"]]

    until(lambda: states() == ["silent", "lost", "silent"])
    lost = api.get("/workers")["items"][1]
    log = await core.logs.range("emails")
    (said,) = [one for one in log if one.type == "worker.lost" and b'"b"' in one.body]
    assert lost["lost_at"] == time_of(said.time)
    await workers.report(report("b"))
    assert states() == ["silent", "serving", "silent"]


async def test_without_tables_the_lost_are_silent(
    api: Api, core: Core, postgres_server: Postgres
) -> None:
    workers = Workers(core.redis, core.keys)
    await workers.report(report("a"))
    await core.redis.pexpire(core.keys.worker("a"), round((KEPT - 100) * 1000))
    await asyncio.to_thread(postgres_server.stop)
    assert [one["state"] for one in api.get("/workers")["items"]] == ["silent"]
    await asyncio.to_thread(postgres_server.start)


async def test_job_types_with_their_defaults(api: Api, core: Core) -> None:
    await core.directory.announce_types({"email.send": MAIL, "a.job": {}})
    workers = Workers(core.redis, core.keys)
    await workers.report(report("a"))
    await workers.report(report("b", draining=True))
    plain, mail = api.get("/job-types")["items"]
    assert (plain["type"], plain["queue"], plain["workers"]) == ("a.job", None, 0)
    assert mail == {
        "type": "email.send", **MAIL, "backoff": None, "result_schema": None, "workers": 1,
    }  # fmt: skip


async def test_what_a_later_release_announced_is_named_all_the_same(api: Api, core: Core) -> None:
    await core.redis.hset(core.keys.types, "odd", b'{"queue":7}')
    (one,) = api.get("/job-types")["items"]
    assert (one["type"], one["queue"]) == ("odd", None)


@pytest.mark.parametrize("path", ["/workers", "/job-types"])
def test_a_parameter_that_is_none_is_refused(api: Api, path: str) -> None:
    problem(api.client.get(f"/api/v1{path}", params={"limit": 1}), 400)

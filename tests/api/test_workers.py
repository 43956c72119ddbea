"""GET /workers and /job-types: who works, and what can be submitted."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.workers import Report, Workers

from .conftest import Api, Core, problem

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
    assert 0 <= second.pop("reported_ago") < 10
    assert second == {
        "name": "b", "state": "serving", "host": "mill-1", "pid": 7, "version": "v7",
        "started_at": "2025-06-15T15:06:40.000Z", "queues": ["emails"], "types": ["email.send"],
        "concurrency": 10, "running": 1, "jobs": ["j"], "loop_lag": 0.5, "memory": 5,
    }  # fmt: skip


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

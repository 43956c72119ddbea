"""Payloads and real workers: of two releases side by side, that leave, that are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from millstream.api import payloads
from millstream.core.config import Settings
from tests.consumers.conftest import Bench
from tests.consumers.processes import Workers

from .conftest import Api, Core, problem
from .paying import NEW, OLD, Said, pay, status

HOUR = 3600.0


@pytest.fixture
async def workers(settings: Settings, tmp_path: Path) -> AsyncIterator[Workers]:
    for name, code in (("old", OLD), ("new", NEW)):
        (tmp_path / f"{name}.py").write_text(code)
    bench = Bench(settings.redis_url)
    workers = Workers(bench, tmp_path, f"{tmp_path / 'old'}.py:registry")
    yield workers
    workers.end()
    await bench.close()


def new(workers: Workers) -> str:
    return workers.app.replace("old.py", "new.py")


async def ended(workers: Workers, answer: Any) -> str:
    assert answer.status_code == 201, answer.text
    return (await workers.bench.ended(answer.json()["id"]))[-1]


async def test_a_deployment(
    api: Api, workers: Workers, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no time is refused what a worker takes that is ready, however old what the API knows."""
    await said_nothing(api)
    old = await workers.start()
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    assert await ended(workers, pay(api, {"amount": 7})) == "succeeded"
    problem(pay(api, {"cents": 7}), 422, "invalid-payload")
    monkeypatch.setattr(payloads, "FRESH", HOUR)
    await workers.start(app=new(workers))
    assert status(api, {"cents": 7}) == 201
    assert status(api, {"amount": 7}) == 201
    problem(pay(api, {"euros": 7}), 422, "invalid-payload")
    old.terminate()
    assert await asyncio.to_thread(old.wait, 60) == 0
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    (fault,) = problem(pay(api, {"amount": 7}), 422, "invalid-payload")["errors"]
    assert fault["path"] == "$.payload.amount"
    assert await ended(workers, pay(api, {"cents": 7})) == "succeeded"


async def said_nothing(api: Api) -> None:
    """Before any worker was there, anything is taken."""
    assert status(api, {"euros": 7}, queue="elsewhere") == 201


async def test_a_killed_worker_refuses_nothing_once_it_is_silent(
    api: Api, core: Core, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    worker = await workers.start()
    assert status(api, {"cents": 7}) == 422
    worker.kill()
    await asyncio.to_thread(worker.wait, 60)
    said = Said(core)
    (left,) = await said.workers.all()
    await said.age(left.report.name, 60)
    assert status(api, {"cents": 7}) == 201
    await workers.start()
    assert status(api, {"cents": 7}) == 422


async def test_what_redis_forgot_a_worker_tells_again(
    api: Api, core: Core, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    await workers.start()
    await core.redis.flushall()
    async with asyncio.timeout(60):
        while status(api, {"cents": 7}) == 201:
            await asyncio.sleep(0.05)
    assert status(api, {"amount": 7}) == 201


async def test_a_type_without_a_payload_type_takes_anything(
    api: Api, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    await workers.start()
    for payload in (None, 7, {"amount": "7"}):
        answer = pay(api, payload, type="free")
        assert await ended(workers, answer) == "succeeded"

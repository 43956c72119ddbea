"""Idempotency-Key: a request sent again does what the first one did, and no more."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest
import redis

from millstream.api import submissions
from millstream.core.config import Settings

from .conftest import Api, Core, problem, running
from .test_submit import announce

KEY = {"idempotency-key": "0f34-k"}


def post(api: Api, key: str = "k", path: str = "", **fields: Any) -> Any:
    headers = {"idempotency-key": key}
    body = {"type": "a.job", **fields} if not path else fields
    return api.client.post(f"/api/v1/jobs{path}", json=body, headers=headers)


async def test_the_same_request_is_answered_with_the_same_job(api: Api, core: Core) -> None:
    first = post(api, payload={"a": 1, "b": 2})
    assert (first.status_code, first.json()["deduplicated"]) == (201, False)
    (lease,) = await core.claim()
    await core.succeed(lease)
    again = post(api, payload={"b": 2, "a": 1})
    assert again.status_code == 200
    assert again.json() == first.json() | {"deduplicated": True, "state": None}
    assert again.headers["location"] == first.headers["location"]
    assert post(api, "other", payload={"a": 1, "b": 2}).status_code == 201
    submitted = [event for event in await core.events() if event.type == "job.submitted"]
    assert len(submitted) == 2


def test_another_request_under_the_same_key_is_refused(api: Api) -> None:
    assert post(api, payload=1).status_code == 201
    for response in (
        post(api, payload=2),
        post(api, payload=1, queue="other"),
        post(api, path="/batch", jobs=[{"type": "a.job", "payload": 1}]),
    ):
        found = problem(response, 422, "idempotency-key-reused")
        (fault,) = found["errors"]
        assert (fault["path"], fault["in"]) == ("Idempotency-Key", "header")
    assert post(api, payload=1).json()["deduplicated"] is True


async def test_many_at_once_are_one_job(api: Api, core: Core) -> None:
    limits = httpx2.Limits(max_connections=32)
    async with httpx2.AsyncClient(base_url=api.url, limits=limits, timeout=30) as client:
        posts = [
            client.post("/api/v1/jobs", json={"type": "a.job", "payload": i % 8},
                        headers={"idempotency-key": f"k{i % 8}"})
            for i in range(128)
        ]  # fmt: skip
        answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 8
    assert len({answer.json()["id"] for answer in answers}) == 8
    assert len(await core.events()) == 8


async def test_a_batch_is_submitted_once(api: Api, core: Core) -> None:
    jobs = [{"type": "a.job", "payload": i, "queue": f"q{i % 2}"} for i in range(400)]
    first = post(api, path="/batch", jobs=jobs)
    assert first.status_code == 201
    again = post(api, path="/batch", jobs=jobs)
    assert again.status_code == 200
    for one, other in zip(first.json()["items"], again.json()["items"], strict=True):
        assert other == one | {"deduplicated": True}
    assert len(await core.events("q0")) + len(await core.events("q1")) == 400
    problem(post(api, path="/batch", jobs=jobs[:-1]), 422, "idempotency-key-reused")


async def test_a_batch_cut_off_is_completed(api: Api, core: Core, monkeypatch: Any) -> None:
    jobs = [{"type": "a.job", "payload": i, "queue": f"q{i % 2}"} for i in range(300)]
    whole = submissions.send_all

    async def half(resources: Any, queues: Any, orders: Any) -> Any:
        await whole(resources, queues[:200], orders[:200])
        raise ConnectionError("the process died here")

    monkeypatch.setattr(submissions, "send_all", half)
    assert post(api, path="/batch", jobs=jobs).status_code == 500
    monkeypatch.undo()
    again = post(api, path="/batch", jobs=jobs)
    assert again.status_code == 201
    told = [item["deduplicated"] for item in again.json()["items"]]
    assert told == [True] * 200 + [False] * 100
    assert len(await core.events("q0")) + len(await core.events("q1")) == 300


async def test_when_nothing_was_submitted_it_is_submitted_now(
    api: Api, core: Core, monkeypatch: Any
) -> None:
    async def died(*_: Any) -> Any:
        raise ConnectionError("the process died here")

    with monkeypatch.context() as patch:
        patch.setattr(api.app.state.resources.submitter.__class__, "submit", died)
        assert post(api, payload=1).status_code == 500
    response = post(api, payload=1)
    assert (response.status_code, response.json()["deduplicated"]) == (201, False)


async def test_the_terms_are_those_of_the_first_request(
    api: Api, core: Core, monkeypatch: Any
) -> None:
    """Neither the time that went by nor what workers announced since makes another job of it."""
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    first = post(api, "later", run_at=soon)
    assert first.status_code == 201
    await core.directory.announce_types({"a.job": {"queue": "moved"}})
    await announce(core, "default", "b.job")
    real = submissions.bounds_of

    def an_hour_later(resources: Any) -> Any:
        bounds = real(resources)
        return bounds._replace(now=bounds.now + 3_600_000)

    monkeypatch.setattr(submissions, "bounds_of", an_hour_later)
    with running(api.app.state.settings) as restarted:
        again = post(restarted, "later", run_at=soon)
        assert again.status_code == 200, again.text
        assert again.json() == first.json() | {"deduplicated": True}
        problem(post(restarted, "new", run_at=soon), 422)


def test_a_request_that_is_refused_leaves_its_key_free(api: Api) -> None:
    problem(post(api, priority=11), 400)
    problem(post(api, unique={"scope": "period"}), 422)
    problem(post(api, path="/batch", jobs=[{"type": "a"}, {"type": "a", "rate_key": "é"}]), 422)
    assert post(api).status_code == 201


def test_a_key_is_forgotten_after_its_time(settings: Settings, api: Api) -> None:
    """Both what was agreed and the locks of the jobs carry the time; a new request is a new one."""
    first = post(api, payload=1).json()
    with redis.Redis.from_url(settings.redis_url) as client:
        (agreed,) = client.keys("ms:idempotency:*")
        (lock,) = client.keys("*:unique:*")
        for key in (agreed, lock):
            assert 86_000_000 < client.pttl(key) <= 86_400_000
        client.pexpire(agreed, 0)
    again = post(api, payload=1)
    assert again.status_code == 201
    assert again.json()["id"] != first["id"]
    assert post(api, payload=1).json()["id"] == again.json()["id"]


async def test_a_frozen_redis_and_a_client_that_asks_again_give_one_job(
    settings: Settings, core: Core
) -> None:
    impatient = msgspec.structs.replace(settings, command_timeout=0.3)
    with running(impatient) as api:
        assert post(api, "warm").status_code == 201
        await core.redis.client_pause(4000, all=True)
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as client:
            body = {"type": "a.job", "payload": 1}
            answers = [await client.post("/api/v1/jobs", json=body, headers=KEY) for _ in range(3)]
    good = [answer for answer in answers if answer.is_success]
    assert good, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in good}) == 1
    assert len(await core.events()) == 2


async def test_it_goes_with_unique(api: Api, core: Core) -> None:
    """A request that met a unique job is answered with that one, also when that has ended."""
    unique = {"key": "u", "policy": "replace"}
    first = post(api, "one", payload=1, delay=60, unique=unique).json()
    other = post(api, "two", payload=2, delay=60, unique=unique)
    assert (other.status_code, other.json()["id"]) == (200, first["id"])
    again = post(api, "one", payload=1, delay=60, unique=unique).json()
    assert (again["id"], again["position"]) == (first["id"], first["position"])
    assert api.job(first["id"])["payload"] == 2, "the first one, sent again, replaced nothing"


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 256])
@pytest.mark.parametrize("path", ["", "/batch"])
def test_what_is_no_key(shared: Api, nothing_done: None, key: str, path: str) -> None:
    body = b'{"type":"a"}' if not path else b'{"jobs":[{"type":"a"}]}'
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    response = shared.client.post(f"/api/v1/jobs{path}", content=body, headers=headers)
    (fault,) = problem(response, 400)["errors"]
    assert (fault["path"], fault["in"]) == ("Idempotency-Key", "header")


def test_two_keys_are_none(shared: Api, nothing_done: None) -> None:
    headers = [(b"content-type", b"application/json")] + [(b"idempotency-key", b"k")] * 2
    response = shared.client.post("/api/v1/jobs", content=b'{"type":"a"}', headers=headers)
    assert "2 keys" in problem(response, 400)["detail"]

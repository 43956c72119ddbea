"""Uniqueness over HTTP: one job stands for all like it, and the client is told which."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.codec import encode
from millstream.core.unique import Unique, canonical, lock_of
from tests.strategies import json_values

from .conftest import Api, Core, problem


def post(api: Api, **fields: Any) -> Any:
    return api.client.post("/api/v1/jobs", json={"type": "a.job", **fields})


def test_the_same_payload_is_the_same_job(api: Api) -> None:
    first = post(api, payload={"a": 1, "b": [2]}, unique={})
    assert (first.status_code, first.json()["deduplicated"]) == (201, False)
    again = post(api, payload={"b": [2], "a": 1}, unique={})
    assert again.status_code == 200
    assert again.json() == first.json() | {"deduplicated": True}
    assert again.headers["location"] == first.headers["location"]
    for other in ({"payload": {"a": 2}, "unique": {}}, {"payload": {"a": 1, "b": [2]}}):
        assert post(api, **other).status_code == 201
    assert post(api, queue="other", payload={"a": 1, "b": [2]}, unique={}).status_code == 201


async def test_the_same_key_is_the_same_job_until_it_has_ended(api: Api, core: Core) -> None:
    first = post(api, payload=1, unique={"key": "k"}).json()
    assert post(api, payload=2, unique={"key": "k"}).json()["id"] == first["id"]
    assert post(api, payload=2, unique={"key": "other"}).status_code == 201
    (lease, other) = await core.claim()
    told = post(api, payload=3, unique={"key": "k"}).json()
    assert (told["id"], told["state"]) == (first["id"], "running")
    assert post(api, payload=3, unique={"key": "k", "scope": "waiting"}).status_code == 201
    await core.succeed(other)
    await core.succeed(lease)
    assert post(api, payload=3, unique={"key": "other"}).status_code == 201


async def test_for_a_period_also_after_its_end(api: Api, core: Core) -> None:
    unique = {"scope": "period", "period": 60}
    first = post(api, unique=unique).json()
    (lease,) = await core.claim()
    await core.succeed(lease)
    told = post(api, unique=unique).json()
    assert told == first | {"deduplicated": True, "state": None}


def test_replacing_puts_a_waiting_job_off_and_shows_its_new_values(
    api: Api, projector: None
) -> None:
    unique = {"key": "k", "policy": "replace"}
    first = post(api, payload="old", delay=60, tags=["a"], unique=unique).json()
    assert api.job(first["id"])["payload"] == "old"
    told = post(api, payload="new", delay=90, priority=1, metadata={"m": "x"}, unique=unique)
    assert told.status_code == 200
    assert told.json()["id"] == first["id"]
    assert told.json()["position"] != first["position"]
    shown = api.job(first["id"], after=told.json()["position"])
    assert (shown["payload"], shown["priority"]) == ("new", 1)
    assert (shown["tags"], shown["metadata"]) == ([], {"m": "x"})
    events = api.get(f"/jobs/{first['id']}/events")["items"]
    assert [event["type"] for event in events] == ["job.submitted", "job.replaced"]


async def test_what_is_run_again_is_what_it_was_last_given(
    api: Api, core: Core, projector: None
) -> None:
    unique = {"key": "k", "policy": "replace"}
    id = post(api, payload="old", priority=3, delay=60, unique=unique).json()["id"]
    assert post(api, payload="new", priority=2, unique=unique).status_code == 200
    (lease,) = await core.claim()
    await core.fail(lease)
    assert api.job(id, wait=10)["state"] == "failed"
    response = api.client.post(f"/api/v1/jobs/{id}/retry")
    assert response.status_code == 200, response.text
    (lease,) = await core.claim()
    assert lease.decode().payload.decode() == "new"
    assert lease.decode().priority == 2


def test_in_a_batch_one_answer_each(api: Api) -> None:
    jobs: list[Any] = [{"type": "a.job", "payload": n % 2, "unique": {}} for n in range(300)]
    jobs.insert(1, {"type": "a.job", "payload": 0})
    first = api.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert first.status_code == 201
    items = first.json()["items"]
    assert [n for n, item in enumerate(items) if not item["deduplicated"]] == [0, 1, 2]
    assert len({item["id"] for item in items}) == 3
    again = api.client.post("/api/v1/jobs/batch", json={"jobs": [jobs[0], jobs[2]]})
    assert again.status_code == 200
    assert [item["id"] for item in again.json()["items"]] == [items[0]["id"], items[2]["id"]]


async def test_keys_of_limits_reach_the_log(api: Api, core: Core) -> None:
    assert post(api, concurrency_key="tenant/7", rate_key="a@b.c").status_code == 201
    (record,) = await core.events()
    assert b'"concurrency_key":"tenant/7","rate_key":"a@b.c"' in record.body


@pytest.mark.parametrize(
    ("fields", "path", "status"),
    [
        ({"unique": True}, "$.unique", 400),
        ({"unique": {"for": 1}}, "$.unique.for", 400),
        ({"unique": {"key": ""}}, "$.unique.key", 400),
        ({"unique": {"key": "k" * 256}}, "$.unique.key", 400),
        ({"unique": {"scope": "always"}}, "$.unique.scope", 400),
        ({"unique": {"policy": "drop"}}, "$.unique.policy", 400),
        ({"unique": {"scope": "period"}}, "$.unique.period", 422),
        ({"unique": {"period": 5}}, "$.unique.period", 422),
        ({"unique": {"scope": "period", "period": 0}}, "$.unique.period", 400),
        ({"unique": {"scope": "period", "period": 1e12}}, "$.unique.period", 400),
        ({"concurrency_key": ""}, "$.concurrency_key", 422),
        ({"concurrency_key": 'a"b'}, "$.concurrency_key", 422),
        ({"rate_key": "a\n"}, "$.rate_key", 422),
        ({"rate_key": "k" * 129}, "$.rate_key", 422),
        ({"rate_key": 7}, "$.rate_key", 400),
    ],
)
def test_what_is_refused(
    shared: Api, nothing_done: None, fields: dict[str, Any], path: str, status: int
) -> None:
    found = problem(post(shared, **fields), status)
    assert [fault["path"] for fault in found["errors"]] == [path]
    batch = {"jobs": [{"type": "a"}, {"type": "a", **fields}]}
    found = problem(shared.client.post("/api/v1/jobs/batch", json=batch), status)
    assert [fault["path"] for fault in found["errors"]] == [path.replace("$", "$.jobs[1]")]


def _turned(value: Any) -> Any:
    """The same value, its keys in another order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_the_order_of_keys_does_not_count(value: Any) -> None:
    assert canonical(encode(value)) == canonical(b" " + encode(_turned(value)))


@given(json_values, json_values)
def test_other_values_are_other_locks(one: Any, other: Any) -> None:
    alike = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical(encode(one)) == canonical(encode(other))) == alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12345678901234567890123", "12345678901234567890124"),
        ("0.1234567890123456789012", "0.1234567890123456789013"),
        ("1", "true"),
        ("1", '"1"'),
        ("1.5", '"1.5"'),
        ("null", "[]"),
        ('{"a":null}', "{}"),
        ("[[1],2]", "[1,[2]]"),
    ],
)
def test_values_close_to_each_other_are_other_locks(one: str, other: str) -> None:
    assert lock_of("t", one.encode(), Unique()) != lock_of("t", other.encode(), Unique())


@given(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5))
def test_type_and_key_are_kept_apart(one: str, other: str) -> None:
    together = lock_of("t" + one, b"null", Unique(key=other))
    assert together != lock_of("t", b"null", Unique(key=one + other))


def test_a_key_is_no_payload() -> None:
    assert lock_of("t", b'"k"', Unique()) != lock_of("t", b'"k"', Unique(key="k"))

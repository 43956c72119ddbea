"""What cannot be done to schedules, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, Core, problem
from .planning import DAILY, URL, act, make, shown


@pytest.mark.parametrize(
    ("body", "status", "path", "said"),
    [
        ({"from": "2026-01-01T00:00:00Z"}, 400, "$.to", "missing required field"),
        ({"from": "2026-01-01", "to": "2026-01-02"}, 400, "$.from", "expected a time such as"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 422, "$.to", "after from"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2199-01-01T00:00:00Z"}, 422, "$.to", "has passed"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 422, "$.to",
         "at most 10000 occurrences"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "id": "a b"}, 400, "$.id",
         "matching regex"),
    ],
)  # fmt: skip
def test_a_range_that_cannot_be(
    shared: Api, body: dict[str, Any], status: int, path: str, said: str
) -> None:
    if shared.client.get(f"{URL}/bad-range").status_code == 404:
        make(shared, name="bad-range", cron="0 * * * *")
    (fault,) = problem(act(shared, "backfill", "bad-range", **body), status)["errors"]
    assert fault["path"] == path
    assert said in fault["message"]


BAD: list[tuple[dict[str, Any], int, str, str]] = [
    ({"cron": "0 25 * * *"}, 422, "$.cron", "expected a cron expression"),
    ({"cron": "0 0 30 2 *"}, 422, "$.cron", "Bad day-of-month"),
    ({"cron": 5}, 400, "$.cron", "Expected"),
    ({"cron": None}, 422, "$.cron", "either cron or every, got neither"),
    ({"every": 60}, 422, "$.every", "either cron or every, got both"),
    ({"cron": None, "every": 0.5}, 400, "$.every", ">= 1"),
    ({"timezone": "Europe/Wien"}, 422, "$.timezone", "expected an IANA name"),
    ({"start_at": "2030-01-01T00:00:00"}, 400, "$.start_at", "expected a time such as"),
    ({"start_at": "9999-01-01T00:00:00Z"}, 422, "$.start_at", "from 1970 to 2199"),
    ({"start_at": "2030-01-02T00:00:00Z", "end_at": "2030-01-01T00:00:00Z"}, 422, "$.end_at",
     "after start_at"),
    ({"name": "a b"}, 422, "$.name", "1 to 128 of"),
    ({"type": "no way"}, 422, "$.type", "expected"),
    ({"queue": "No"}, 422, "$.queue", "expected"),
    ({"priority": 11}, 400, "$.priority", "<= 9"),
    ({"overlap": "wait"}, 400, "$.overlap", "expected one of "),
    ({"catchup_limit": 1000}, 400, "$.catchup_limit", "<= 100"),
    ({"lunar": True}, 400, "$.lunar", "unknown field"),
    ({"backoff": {"kind": "none"}}, 400, "$.backoff.kind", "expected one of "),
]  # fmt: skip


@pytest.mark.parametrize(("given", "status", "path", "said"), BAD)
def test_what_cannot_be_is_refused_with_its_path(
    shared: Api, nothing_done: None, given: dict[str, Any], status: int, path: str, said: str
) -> None:
    (fault,) = problem(shared.client.post(URL, json=DAILY | given), status)["errors"]
    assert fault["path"] == path
    assert said in fault["message"]


def test_a_body_that_is_missing_fields(shared: Api, nothing_done: None) -> None:
    found = problem(shared.client.post(URL, json={"type": "report"}), 400, "invalid-request")
    assert found["errors"][0]["path"] == "$.name"
    media = {"content-type": "application/json"}
    problem(shared.client.post(URL, content=b"{", headers=media), 400, "not-json")
    deep = b'{"name":"d","type":"t","every":60,"payload":' + b"[" * 66 + b"]" * 66 + b"}"
    refused = shared.client.post(URL, content=deep, headers=media)
    assert problem(refused, 400, "too-deep")["errors"][0]["path"] == "$.payload"


CHANGES: list[tuple[dict[str, Any], int, str, str]] = [
    ({"cron": "x"}, 422, "$.cron", "expected a cron expression"),
    ({"cron": None}, 422, "$.cron", "got neither"),
    ({"cron": "@daily", "every": 5}, 422, "$.every", "got both"),
    ({"queue": "other"}, 422, "$.queue", "to move it, make it anew"),
    ({"name": "t"}, 400, "$.name", "unknown field"),
    ({"type": None}, 400, "$.type", "missing required field"),
    ({"version": 0}, 400, "$.version", ">= 1"),
    ({"end_at": "2020-01-01T00:00:00Z", "start_at": "2021-01-01T00:00:00Z"}, 422, "$.end_at",
     "after start_at"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "status", "path", "said"), CHANGES)
def test_a_change_that_cannot_be_is_refused_with_its_path(
    shared: Api, given: dict[str, Any], status: int, path: str, said: str
) -> None:
    if shared.client.get(f"{URL}/bad-change").status_code == 404:
        make(shared, name="bad-change")
    before = shown(shared, "bad-change")
    (fault,) = problem(shared.client.patch(f"{URL}/bad-change", json=given), status)["errors"]
    assert fault["path"] == path
    assert said in fault["message"]
    assert shown(shared, "bad-change") == before


@pytest.mark.parametrize("verb", ["pause", "resume", "fire", "backfill"])
def test_commands_on_what_is_not_there(shared: Api, verb: str) -> None:
    times = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    body = times if verb == "backfill" else {}
    problem(act(shared, verb, "absent", **body), 404, "not-found")
    refused = shared.client.post(
        f"{URL}/absent/{verb}", json=body, headers={"origin": "http://evil"}
    )
    problem(refused, 403, "cross-origin")


def test_what_else_is_not_there(shared: Api) -> None:
    for call in (shared.client.get, shared.client.delete):
        problem(call(f"{URL}/absent"), 404, "not-found")
    problem(shared.client.patch(f"{URL}/absent", json={}), 404, "not-found")
    problem(shared.client.get(f"{URL}/absent", params={"next": 1001}), 400)


async def test_a_type_nobody_knows_is_refused(api: Api, core: Core) -> None:
    from millstream.core.events import WorkerStarted

    await core.directory.queue("default").announce(WorkerStarted("w"), {"known": {}})
    (fault,) = problem(api.client.post(URL, json=DAILY), 422, "unknown-job-type")["errors"]
    assert fault["path"] == "$.type"
    make(api, type="known")


async def test_a_draining_queue_takes_no_jobs_by_hand_either(api: Api, core: Core) -> None:
    make(api)
    await core.redis.hset(core.keys.meta("default"), "mode", "draining")
    refused = problem(act(api, "fire"), 409, "conflict")
    assert "draining" in refused["detail"]
    assert await core.claim() == []


async def test_a_name_without_its_schedule_is_no_schedule(api: Api, core: Core) -> None:
    """What a crash between the two steps of a creation leaves."""
    await core.redis.hset(core.keys.schedules, "s", "elsewhere")
    problem(api.client.get(f"{URL}/s"), 404)
    assert api.get("/schedules")["items"] == []
    make(api)
    assert shown(api)["queue"] == "default"

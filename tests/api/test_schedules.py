"""/schedules: make, list, show, change, delete, pause, resume, fire and backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from millstream.api import schedule_commands
from millstream.core.errors import Unavailable
from millstream.core.schedule_index import Schedules
from millstream.core.schedule_store import PartitionSchedules
from tests.invariants import check

from .conftest import Api, Core, problem, until
from .planning import DAILY, URL, act, make, shown, told


async def test_a_schedule_is_made_shown_and_told(api: Api, core: Core) -> None:
    given = DAILY | {"payload": {"n": 12345678901234567890}, "overlap": "skip", "tags": ["a"]}
    response = api.client.post(URL, json=given, params={"actor": "ada", "reason": "asked for"})
    assert response.status_code == 201
    assert response.headers["location"] == f"{URL}/s"
    made = response.json()
    assert {name: made[name] for name in given} == given
    assert (made["state"], made["version"], made["queue"]) == ("active", 1, "default")
    assert (made["max_attempts"], made["catchup"], made["catchup_limit"]) == (5, 3600, 1)
    assert made["paused"] is made["last"] is made["waiting"] is None
    found = shown(api, next=3)
    assert found["next"][0] == found["next_at"] == made["next_at"]
    assert len(found["next"]) == 3
    assert shown(api, next=0) == made
    (created,) = await told(core)
    assert created[0] == "created"
    assert (created[1]["actor"], created[1]["reason"]) == ("ada", "asked for")
    assert created[1]["spec"]["cron"] == "0 3 * * *"


def test_an_interval_with_a_start_and_an_end(api: Api) -> None:
    times = {"cron": None, "every": 90, "start_at": "2030-01-01T00:00:00+01:00",
             "end_at": "2030-01-01T00:03:00+01:00"}  # fmt: skip
    made = make(api, **times)
    assert made["start_at"] == made["next_at"] == "2029-12-31T23:00:00.000Z"
    assert shown(api, next=100)["next"] == [
        "2029-12-31T23:00:00.000Z", "2029-12-31T23:01:30.000Z", "2029-12-31T23:03:00.000Z",
    ]  # fmt: skip


def test_a_schedule_that_has_ended_says_so(api: Api) -> None:
    made = make(api, end_at="2020-01-01T00:00:00Z")
    assert (made["state"], made["next_at"]) == ("ended", None)
    assert shown(api)["next"] == []


def test_names_are_taken_once(api: Api) -> None:
    make(api)
    problem(api.client.post(URL, json=DAILY), 409, "conflict")
    problem(api.client.post(URL, json=DAILY | {"queue": "other"}), 409, "conflict")


def test_lists_go_on_where_they_stopped(api: Api) -> None:
    for name in ("b", "a", "d", "c", "e"):
        make(api, name=name, queue="q1" if name in "ab" else "q2")
    names, cursor = list[str](), None
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = api.get("/schedules", **query)
        names += [one["name"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["a", "b", "c", "d", "e"]
    assert [one["name"] for one in api.get("/schedules", queue="q1")["items"]] == ["a", "b"]
    assert api.get("/schedules", queue="none") == {"items": [], "next_cursor": None}


async def test_a_change_says_only_what_changes(api: Api, core: Core) -> None:
    make(api, payload={"n": 1.10}, tags=["x"])
    by = {"actor": "ada", "reason": "later"}
    response = api.client.patch(f"{URL}/s", json={"cron": "0 4 * * *", "priority": 1}, params=by)
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["cron"], found["priority"], found["version"]) == ("0 4 * * *", 1, 2)
    assert (found["payload"], found["tags"], found["timezone"]) == (
        {"n": 1.1}, ["x"], "Europe/Vienna",
    )  # fmt: skip
    assert (await told(core))[-1][1]["reason"] == "later"
    found = api.client.patch(f"{URL}/s", json={"every": 60, "tags": None}).json()
    assert (found["cron"], found["every"], found["tags"]) == (None, 60, [])
    assert api.client.patch(f"{URL}/s", json={"payload": {"n": 2}}).json()["payload"] == {"n": 2}
    found = api.client.patch(f"{URL}/s", json={"cron": "@hourly", "payload": None}).json()
    assert (found["cron"], found["every"], found["payload"]) == ("@hourly", None, None)


def test_a_change_may_insist_on_the_version_it_read(api: Api) -> None:
    make(api)
    assert api.client.patch(f"{URL}/s", json={"priority": 1, "version": 1}).status_code == 200
    refused = api.client.patch(f"{URL}/s", json={"priority": 2, "version": 1})
    assert problem(refused, 409, "conflict")["version"] == 2


def test_a_change_that_was_overtaken_is_made_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(api)
    real, outcomes = Schedules.put, list[str]()

    async def overtaken(self: Schedules, given: Any, by: Any, **how: Any) -> Any:
        if not outcomes:
            await real(self, msgspec.structs.replace(given, tags=["theirs"]), by, **how)
        outcomes.append((await real(self, given, by, **how))[0])
        return outcomes[-1], 0

    monkeypatch.setattr(Schedules, "put", overtaken)
    found = api.client.patch(f"{URL}/s", json={"priority": 1}).json()
    assert outcomes == ["conflict", "updated"]
    assert (found["priority"], found["tags"], found["version"]) == (1, ["theirs"], 3)


async def test_it_is_deleted(api: Api, core: Core) -> None:
    make(api)
    gone = api.client.delete(f"{URL}/s", params={"actor": "ada", "reason": "done"})
    assert gone.status_code == 200
    assert gone.json()["name"] == "s"
    problem(api.client.delete(f"{URL}/s"), 404, "not-found")
    problem(api.client.get(f"{URL}/s"), 404, "not-found")
    assert (await told(core))[-1] == (
        "deleted", {"actor": "ada", "reason": "done", "schedule": "s"},
    )  # fmt: skip
    make(api, queue="other")


async def test_pause_and_resume(api: Api, core: Core) -> None:
    make(api)
    paused = act(api, "pause", actor="ada", reason="holidays").json()
    assert paused["state"] == "paused"
    assert paused["paused"].pop("at")
    assert paused["paused"] == {"actor": "ada", "reason": "holidays"}
    assert act(api, "pause", actor="bob").json()["paused"]["actor"] == "ada"
    assert act(api, "resume").json()["state"] == "active"
    assert api.client.post(f"{URL}/s/resume").json()["paused"] is None
    assert [kind for kind, _ in await told(core)] == ["created", "paused", "resumed"]


async def test_fire_now(api: Api, core: Core) -> None:
    made = make(api, payload={"n": 1}, priority=2)
    act(api, "pause")
    fired = act(api, "fire", actor="ada", reason="needed").json()
    (lease,) = await core.claim()
    assert fired["jobs"] == [lease.id]
    assert fired["schedule"] == "s"
    spec = lease.decode()
    assert (spec.schedule, spec.priority, bytes(spec.payload.data)) == ("s", 2, b'{"n":1}')
    found = shown(api)
    assert found["next_at"] == made["next_at"]
    assert found["last"]["job_id"] == lease.id
    kind, body = (await told(core))[-1]
    assert (kind, body["cause"], body["actor"], body["reason"]) == (
        "fired", "manual", "ada", "needed",
    )  # fmt: skip
    await core.succeed(lease)


async def test_fire_now_with_an_id_is_done_once(api: Api, core: Core) -> None:
    make(api)
    first = act(api, "fire", id="now-1").json()
    assert act(api, "fire", id="now-1").json() == first
    assert len(await core.claim()) == 1
    assert act(api, "fire", id="now-2").json()["jobs"] != first["jobs"]


async def test_a_past_range_is_filled(api: Api, core: Core, settings: Any) -> None:
    make(api, cron="0 * * * *")
    body = {"from": "2026-03-28T12:00:00Z", "to": "2026-04-08T12:00:00Z", "id": "b1"}
    filled = act(api, "backfill", reason="a bug", **body).json()
    assert len(filled["jobs"]) == len(set(filled["jobs"])) == 11 * 24
    assert act(api, "backfill", **body).json() == filled
    fired = [body for kind, body in await told(core) if kind == "fired"]
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert [one["occurrence"] for one in fired] == [
        int((begin + timedelta(hours=n)).timestamp() * 1000) for n in range(11 * 24)
    ]
    assert {(one["cause"], one["reason"]) for one in fired} == {("backfill", "a bug")}
    (await check(settings.redis_url, ["default"], acknowledged=filled["jobs"])).require()


async def test_a_backfill_that_broke_off_goes_on(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(api, cron="0 * * * *")
    body = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-13T00:00:00Z", "id": "b1"}
    real, calls = PartitionSchedules.fire, list[str]()

    async def lossy(self: PartitionSchedules, firings: Any, command: str = "") -> Any:
        calls.append(command)
        done = await real(self, firings, command)
        if len(calls) == 2:
            raise Unavailable("the reply was lost")
        return done

    monkeypatch.setattr(PartitionSchedules, "fire", lossy)
    broken = problem(act(api, "backfill", **body), 503, "redis-unavailable")
    assert (broken["id"], broken["submitted"]) == ("b1", 125)
    assert "sent again with id 'b1'" in broken["detail"]
    filled = act(api, "backfill", **body).json()
    assert len(filled["jobs"]) == 288
    fired = [body["job_id"] for kind, body in await told(core) if kind == "fired"]
    assert fired == filled["jobs"]


async def test_a_schedule_of_a_later_release_is_shown_and_can_be_deleted(
    api: Api, core: Core
) -> None:
    make(api)
    make(api, name="t")
    key = core.keys.schedule("default", "s")
    await core.redis.hset(key, "spec", b'{"name":"s","type":"r","lunar":true}')
    found = shown(api)
    assert (found["state"], found["queue"], found["type"]) == ("unreadable", "default", None)
    assert "lunar" in found["error"]
    assert [one["state"] for one in api.get("/schedules")["items"]] == ["unreadable", "active"]
    for call in (
        lambda: act(api, "fire"), lambda: act(api, "resume"),
        lambda: api.client.patch(f"{URL}/s", json={"priority": 1}),
    ):  # fmt: skip
        assert "cannot be read by this release" in problem(call(), 409, "conflict")["detail"]
    assert act(api, "pause").json()["paused"] is not None
    assert api.client.delete(f"{URL}/s").status_code == 200


async def test_its_history_is_told_newest_first(api: Api, core: Core, projector: None) -> None:
    made = {"schedule": "t"}  # what is said inside a schedule is not taken for its name
    make(api, payload=made, metadata=made)
    make(api, name="t")
    text = '{"schedule":"t"} \x00'
    act(api, "pause", actor="ada", reason=text)
    for _ in range(3):
        act(api, "fire")
    api.client.delete(f"{URL}/s")

    def whole() -> Any:
        found = api.client.get(f"{URL}/s/events").json().get("items", [])
        return found if len(found) == 6 else None

    events = until(whole)
    assert [one["type"].removeprefix("schedule.") for one in events] == [
        "deleted", "fired", "fired", "fired", "paused", "created",
    ]  # fmt: skip
    assert events[4]["body"] == {"actor": "ada", "reason": text, "schedule": "s"}
    paged, cursor = list[Any](), None
    while True:
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = api.get("/schedules/s/events", **query)
        paged += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == events
    assert len(api.get("/schedules/t/events")["items"]) == 1
    problem(api.client.get(f"{URL}/absent/events"), 404, "not-found")
    bad = api.client.get(f"{URL}/s/events", params={"cursor": "x"})
    assert problem(bad, 400)["errors"][0]["path"] == "$.cursor"


def test_the_bound_of_a_backfill_is_what_the_document_says() -> None:
    assert schedule_commands.MAX_BACKFILL == 10_000

"""/schedules: make, list, show, change, delete, pause, resume, fire and backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from millstream.api import schedule_commands
from millstream.core.errors import Unavailable
from millstream.core.schedule_index import Schedules
from millstream.core.schedule_store import PartitionSchedules
from tests.invariants import check

from .conftest import Api, Core, problem, until

URL = "/api/v1/schedules"
DAILY = {"name": "s", "type": "report", "cron": "0 3 * * *", "timezone": "Europe/Vienna"}


def make(api: Api, **given: Any) -> Any:
    response = api.client.post(URL, json=DAILY | given)
    assert response.status_code == 201, response.text
    return response.json()


def act(api: Api, verb: str, name: str = "s", **body: Any) -> httpx2.Response:
    return api.client.post(f"{URL}/{name}/{verb}", json=body)


def shown(api: Api, name: str = "s", **query: Any) -> Any:
    return api.get(f"/schedules/{name}", **query)


async def told(core: Core, partition: str = "default") -> list[tuple[str, Any]]:
    return [
        (record.type.removeprefix("schedule."), msgspec.json.decode(record.body))
        for record in await core.events(partition)
        if record.type.startswith("schedule.")
    ]


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

"""POST /jobs: what is taken, what stands in the log, and what the client is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from millstream.api import catalog, payloads
from millstream.core.config import Settings
from millstream.core.events import parse_position

from .conftest import Api, Core, problem, running, until

HUGE = "123456789012345678901234567890123456789"


def test_a_job_is_accepted_and_can_be_read_at_once(api: Api) -> None:
    response = api.client.post("/api/v1/jobs", json={"type": "email.send", "payload": {"to": "a"}})
    assert response.status_code == 201
    told = response.json()
    assert set(told) == {"id", "queue", "state", "position", "deduplicated"}
    assert (told["queue"], told["state"], told["deduplicated"]) == ("default", "queued", False)
    assert parse_position(told["position"]) == ("default", 1, 1)
    assert response.headers["location"] == f"/api/v1/jobs/{told['id']}"
    job = api.client.get(response.headers["location"]).json()
    assert (job["id"], job["type"], job["payload"]) == (told["id"], "email.send", {"to": "a"})


async def test_every_field_reaches_the_log(api: Api, core: Core) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    api.submit(
        "report.make",
        payload=[1, {"a": None}],
        queue="reports",
        priority=2,
        delay=1.5,
        max_attempts=7,
        backoff={"kind": "linear", "delay": 3, "jitter": 0},
        timeout=0.25,
        expires_at=expires.isoformat(),
        tags=["a", "b", "a"],
        metadata={"tenant": "x"},
    )
    (record,) = await core.events("reports")
    body = msgspec.json.decode(record.body)
    assert record.type == "job.submitted"
    assert body == {
        "type": "report.make",
        "payload": {"data": [1, {"a": None}], "codec": "json"},
        "priority": 2,
        "max_attempts": 7,
        "backoff": {"kind": "linear", "delay": 3.0, "jitter": 0.0},
        "timeout_ms": 250,
        "delay_ms": 1500,
        "expires_at": round(expires.timestamp() * 1000),
        "tags": ["a", "b"],
        "metadata": {"tenant": "x"},
    }


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "queued"),
        ({"delay": 0}, "queued"),
        ({"delay": 30}, "scheduled"),
        ({"run_at": "+60"}, "scheduled"),
        ({"run_at": "-30"}, "queued"),
    ],
)
async def test_the_state_a_job_begins_in(
    api: Api, core: Core, fields: dict[str, Any], state: str
) -> None:
    if "run_at" in fields:
        at = datetime.now(UTC) + timedelta(seconds=int(fields["run_at"]))
        fields = {"run_at": at.isoformat()}
    told = api.client.post("/api/v1/jobs", json={"type": "a.job", **fields}).json()
    assert told["state"] == state
    hot = await core.directory.queue("default").job(told["id"])
    assert hot is not None
    assert hot.state.value == state


@pytest.mark.parametrize(
    "payload",
    [HUGE, '{"n": -' + HUGE + "}", '"\\u0000"', "1.10", "1e5", '{"z":1,"a":2}', '"é\\n"', "null"],
)
async def test_a_payload_is_kept_byte_for_byte(api: Api, core: Core, payload: str) -> None:
    body = f'{{"type": "a.job", "payload": {payload}}}'.encode()
    headers = {"content-type": "application/json"}
    response = api.client.post("/api/v1/jobs", content=body, headers=headers)
    assert response.status_code == 201, response.text
    (record,) = await core.events()
    assert b'"data":' + payload.encode() + b"," in record.body
    shown = api.client.get(response.headers["location"]).content
    assert b'"payload":' + payload.encode() + b"," in shown


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON"])
def test_media_types_that_are_json(api: Api, media: str) -> None:
    headers = {"content-type": media}
    response = api.client.post("/api/v1/jobs", content=b'{"type":"a"}', headers=headers)
    assert response.status_code == 201


def test_a_body_in_chunks_without_a_length(api: Api) -> None:
    parts = iter([b'{"type":', b'"a.job"', b"}"])
    headers = {"content-type": "application/json"}
    response = api.client.post("/api/v1/jobs", content=parts, headers=headers)
    assert response.status_code == 201


async def test_concurrent_submissions_share_calls_and_none_is_lost(api: Api, core: Core) -> None:
    api.submit()
    before = await calls_of_scripts(core)
    await core.redis.client_pause(1000, all=True)  # meanwhile the first of them gather
    limits = httpx2.Limits(max_connections=64)
    async with httpx2.AsyncClient(base_url=api.url, limits=limits, timeout=90) as client:
        posts = [
            client.post("/api/v1/jobs", json={"type": "a.job", "payload": i}) for i in range(600)
        ]
        answers = await asyncio.gather(*posts)
    assert [one.text for one in answers if one.status_code != 201] == []
    _, *records = await core.events()
    assert [record.seq for record in records] == list(range(2, 602))
    by_position = {record.position: record for record in records}
    for i, one in enumerate(answer.json() for answer in answers):
        record = by_position[one["position"]]
        assert record.job == one["id"]
        assert msgspec.json.decode(record.body)["payload"]["data"] == i
    assert await calls_of_scripts(core) - before < 570


async def calls_of_scripts(core: Core) -> int:
    return int((await core.redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_more_requests_than_connections_wait_for_one(api: Api, core: Core) -> None:
    id = api.submit()  # no table has it: each request asks Redis
    await core.redis.client_pause(500, all=True)
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=api.url, limits=limits, timeout=90) as client:
        asked = (client.get(f"/api/v1/jobs/{id}") for _ in range(200))
        assert {one.status_code for one in await asyncio.gather(*asked)} == {200}


@pytest.mark.parametrize("fresh", [60.0, 0.0])
async def test_a_frozen_redis_gives_one_job_and_one_event(
    settings: Settings, core: Core, monkeypatch: pytest.MonkeyPatch, fresh: float
) -> None:
    """Whether what workers announced is known or has to be asked for."""
    for module in (catalog, payloads):
        monkeypatch.setattr(module, "FRESH", fresh)
    impatient = msgspec.structs.replace(settings, command_timeout=0.4)
    with running(impatient) as api:
        api.submit()
        await core.redis.client_pause(600, all=True)
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as client:
            response = await client.post("/api/v1/jobs", json={"type": "a.job"})
        assert response.status_code == 201, response.text
        records = await core.events()
    assert [record.seq for record in records] == [1, 2]
    assert records[1].job == response.json()["id"]


async def test_the_type_gives_queue_and_attempts(api: Api, core: Core) -> None:
    await core.directory.announce_types({"mail": {"queue": "emails", "max_attempts": 9}})
    told = api.client.post("/api/v1/jobs", json={"type": "mail"}).json()
    assert told["queue"] == "emails"
    job = api.job(told["id"])
    assert (job["queue"], job["max_attempts"]) == ("emails", 9)
    other = api.job(api.submit("mail", queue="slow", max_attempts=2))
    assert (other["queue"], other["max_attempts"]) == ("slow", 2)


async def test_what_earlier_releases_announced_is_bounded(api: Api, core: Core) -> None:
    await core.directory.announce_types({"mail": {"queue": "default", "max_attempts": 10_000}})
    assert api.job(api.submit("mail"))["max_attempts"] == 1000


async def announce(core: Core, partition: str, *types: str) -> None:
    from millstream.core.events import WorkerStarted

    await core.directory.register(partition)
    event = WorkerStarted("tester", list(types))
    await core.directory.queue(partition).announce(event, {name: {} for name in types})


async def test_a_type_no_worker_of_the_queue_knows_is_refused(api: Api, core: Core) -> None:
    api.submit("b.job")  # nobody has announced anything yet
    await announce(core, "default", "a.job")

    def refused() -> Any:
        response = api.client.post("/api/v1/jobs", json={"type": "c.job"})
        return response if response.status_code != 201 else None

    # That nobody had announced anything may be believed for a second.
    found = problem(until(refused), 422, "unknown-job-type")
    assert found["errors"][0]["path"] == "$.type"
    api.submit("a.job")
    api.submit("c.job", queue="elsewhere")
    await announce(core, "default", "c.job")
    api.submit("c.job")  # believed at once, though its absence was known


async def test_unknown_types_are_taken_where_configured(settings: Settings, core: Core) -> None:
    await announce(core, "default", "a.job")
    with running(msgspec.structs.replace(settings, unknown_types="accept")) as api:
        api.submit("c.job")

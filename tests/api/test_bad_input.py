"""Bad input: 4xx problem details that name the fault's path, and nothing done."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from millstream.core.config import Settings

from .conftest import Api, Core, problem, running

HEADERS = {"content-type": "application/json"}


def post(api: Api, body: bytes, path: str = "/api/v1/jobs", **headers: str) -> Any:
    return api.client.post(path, content=body, headers=HEADERS | headers)


def at(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"colour": "red"}, "$.colour"),
        ({"webhook": "http://x"}, "$.webhook"),
        ({"depends_upon": []}, "$.depends_upon"),
        ({"type": 5}, "$.type"),
        ({"queue": 5}, "$.queue"),
        ({"priority": "high"}, "$.priority"),
        ({"priority": 10}, "$.priority"),
        ({"priority": -1}, "$.priority"),
        ({"priority": 1.5}, "$.priority"),
        ({"priority": True}, "$.priority"),
        ({"delay": -1}, "$.delay"),
        ({"delay": "5"}, "$.delay"),
        ({"delay": 1e300}, "$.delay"),
        ({"run_at": "tomorrow"}, "$.run_at"),
        ({"run_at": "2030-01-01T00:00:00"}, "$.run_at"),
        ({"run_at": 1_900_000_000}, "$.run_at"),
        ({"max_attempts": 0}, "$.max_attempts"),
        ({"max_attempts": 1001}, "$.max_attempts"),
        ({"backoff": {"kind": "magic"}}, "$.backoff.kind"),
        ({"backoff": {"factor": 0}}, "$.backoff"),
        ({"backoff": {"speed": 1}}, "$.backoff.speed"),
        ({"backoff": {"kind": "list"}}, "$.backoff"),
        ({"backoff": {"delays": [1]}}, "$.backoff"),
        ({"backoff": {"kind": "list", "delays": [1, -1]}}, "$.backoff.delays[1]"),
        ({"backoff": {"kind": "list", "delays": [1] * 10_000}}, "$.backoff.delays"),
        ({"timeout": 0}, "$.timeout"),
        ({"timeout": 1e12}, "$.timeout"),
        ({"expires_at": "2030-01-01"}, "$.expires_at"),
        ({"tags": "a"}, "$.tags"),
        ({"tags": [""]}, "$.tags[0]"),
        ({"tags": ["a", "b" * 65]}, "$.tags[1]"),
        ({"tags": ["a\0"]}, "$.tags[0]"),
        ({"tags": [str(i) for i in range(33)]}, "$.tags"),
        ({"metadata": {"a": 1}}, "$.metadata[...]"),
        ({"metadata": {"a": "x" * 1025}}, "$.metadata[...]"),
        ({"metadata": {str(i): "" for i in range(65)}}, "$.metadata"),
    ],
)
def test_a_field_of_the_wrong_shape(
    shared: Api, nothing_done: None, fields: dict[str, Any], path: str
) -> None:
    found = problem(post(shared, json.dumps({"type": "a.job"} | fields).encode()), 400)
    assert found["errors"][0]["path"] == path


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"type": ""}, "$.type"),
        ({"type": "no spaces"}, "$.type"),
        ({"type": "x" * 129}, "$.type"),
        ({"type": "a\n"}, "$.type"),
        ({"queue": "Default"}, "$.queue"),
        ({"queue": ""}, "$.queue"),
        ({"queue": "a:b"}, "$.queue"),
        ({"queue": "x" * 64}, "$.queue"),
        ({"queue": "ok\n"}, "$.queue"),
        ({"run_at": at(seconds=-120)}, "$.run_at"),
        ({"run_at": at(days=400)}, "$.run_at"),
        ({"run_at": "9999-12-31T23:59:59Z"}, "$.run_at"),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, "$.run_at"),
        ({"delay": 31_622_400 + 1e-9, "run_at": at(seconds=5)}, "$.delay"),
        ({"delay": 1, "run_at": at(seconds=5)}, "$.delay"),
        ({"expires_at": at(seconds=-1)}, "$.expires_at"),
        ({"delay": 60, "expires_at": at(seconds=30)}, "$.expires_at"),
    ],
)
def test_a_value_that_cannot_be_taken(
    shared: Api, nothing_done: None, fields: dict[str, Any], path: str
) -> None:
    body = json.dumps({"type": "a.job"} | fields).encode()
    found = problem(post(shared, body), 422, "unacceptable-value")
    assert found["errors"][0]["path"] == path


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"  ", "$"),
        (b"{", "$"),
        (b"type=a", "$"),
        (b"\xef\xbb\xbf{}", "$"),
        (b'{"type":"a"} {}', "$"),
        (b'{"type":"a\xff"}', "$"),
        (b'{"type":"a","payload":"\xff"}', "$"),
        (b'{"type":"a","payload":"\\ud800"}', "$"),
        (b'{"type":"a","payload":NaN}', "$.payload"),
        (b'{"type":"a","payload":[1,-Infinity]}', "$.payload[1]"),
        (b'{"type":"a","payload":{"x":1e999}}', "$.payload.x"),
        (b'{"type":"a","payload":' + b"9" * 5000 + b"}", "$.payload"),
        (b'{"type":"a","type":"b"}', "$.type"),
        (b'{"type":"a","payload":{"x y":[{"k":1,"k":1}]}}', '$.payload["x y"][0].k'),
    ],
)
def test_what_is_not_strict_json(shared: Api, nothing_done: None, body: bytes, path: str) -> None:
    found = problem(post(shared, body), 400, "not-json")
    assert found["errors"][0]["path"] == path


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"5", b"null"])
def test_json_that_is_no_object(shared: Api, body: bytes) -> None:
    assert problem(post(shared, body), 400, "invalid-request")["errors"][0]["path"] == "$"


def test_a_missing_type(shared: Api) -> None:
    assert problem(post(shared, b"{}"), 400)["errors"][0]["path"] == "$.type"


def nested(levels: int) -> bytes:
    return b'{"type":"a","payload":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize("levels", [65, 190, 250, 100_000])
async def test_too_deep(api: Api, core: Core, levels: int) -> None:
    assert post(api, nested(64)).status_code == 201
    problem(post(api, nested(levels)), 400, "too-deep")
    assert len(await core.events()) == 1


def test_deep_by_configuration(settings: Settings) -> None:
    with running(msgspec.structs.replace(settings, max_depth=400)) as api:
        assert post(api, nested(400)).status_code == 201
        problem(post(api, nested(401)), 400, "too-deep")


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/batch"])
def test_too_large_a_body(settings: Settings, path: str) -> None:
    with running(msgspec.structs.replace(settings, max_body=10_000)) as api:
        big = b'{"type":"a","payload":"' + b"x" * 10_000 + b'"}'
        problem(post(api, big, path), 413, "too-large")
        chunks = (b"x" * 1000 for _ in range(50))
        chunked = api.client.post(path, content=chunks, headers=HEADERS)
        problem(chunked, 413, "too-large")


def test_fifty_megabytes_cost_no_memory(shared: Api) -> None:
    import psutil

    before = psutil.Process().memory_info().rss
    sent = iter([b'{"type":"a","payload":"'] + [b"x" * 65536] * 800)
    problem(shared.client.post("/api/v1/jobs", content=sent, headers=HEADERS), 413, "too-large")
    assert psutil.Process().memory_info().rss - before < 30 * 2**20


def test_a_length_that_lies(shared: Api) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_the_wrong_media_type(shared: Api, nothing_done: None, media: str | None) -> None:
    headers = {} if media is None else {"content-type": media}
    response = shared.client.post("/api/v1/jobs", content=b'{"type":"a"}', headers=headers)
    problem(response, 415, "unsupported-media-type")


def test_a_compressed_body(shared: Api) -> None:
    problem(post(shared, b'{"type":"a"}', **{"content-encoding": "gzip"}), 415)


def test_an_idempotency_key_is_not_ignored(shared: Api, nothing_done: None) -> None:
    headers = {"idempotency-key": "x"}
    found = problem(post(shared, b"{}", "/api/v1/jobs/x/cancel", **headers), 400)
    assert found["errors"][0] == {
        "path": "Idempotency-Key",
        "message": "expected none: it is taken with submissions alone",
        "in": "header",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/jobs", 404),
        ("GET", "/api/v1/jobs/%00", 404),
        ("GET", "/api/v1/jobs/no-id", 404),
        ("GET", "/api/v1/jobs/no-id/events", 404),
        ("POST", "/api/v1/jobs/no-id/cancel", 404),
        ("POST", "/api/v1/jobs/no-id/retry", 404),
        ("GET", "/api/v1/jobs/01890000-0000-7000-8000-000000000000", 404),
        ("DELETE", "/api/v1/jobs", 405),
        ("PUT", "/api/v1/jobs/batch", 405),
        ("PATCH", "/api/v1/health", 405),
    ],
)
def test_places_that_are_not(shared: Api, method: str, path: str, status: int) -> None:
    response = shared.client.request(method, path)
    found = problem(response, status)
    if status == 405:
        assert response.headers["allow"]
        assert found["instance"] == path


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/jobs?state=lost", "$.state"),
        ("/jobs?limit=0", "$.limit"),
        ("/jobs?limit=501", "$.limit"),
        ("/jobs?limit=many", "$.limit"),
        ("/jobs?limit=5&limit=6", "$.limit"),
        ("/jobs?cursor=nonsense", "$.cursor"),
        ("/jobs?created_after=yesterday", "$.created_after"),
        ("/jobs?created_before=2030-01-01T00:00:00", "$.created_before"),
        ("/jobs?colour=red", "$.colour"),
        ("/jobs?queue=%00", "$.queue"),
        ("/jobs/ID?at=yesterday", "$.at"),
        ("/jobs/ID?wait=61", "$.wait"),
        ("/jobs/ID?wait=-1", "$.wait"),
        ("/jobs/ID?wait=nan", "$.wait"),
        ("/jobs/ID?after=here", "$.after"),
        ("/jobs/ID?after=default:1:x", "$.after"),
        ("/jobs/ID/events?cursor=x", "$.cursor"),
        ("/jobs/ID/events?cursor=99999999999", "$.cursor"),
        ("/jobs/stats/summary?minute=1", "$.minute"),
        ("/health?verbose=1", "$.verbose"),
    ],
)
def test_query_parameters_that_cannot_be(shared: Api, path: str, where: str) -> None:
    path = path.replace("ID", shared.submit()) if "ID" in path else path
    found = problem(shared.client.get(f"/api/v1{path}"), 400)
    assert found["errors"][0]["path"] == where
    assert found["errors"][0]["in"] == "query"


@pytest.mark.parametrize("after", ["default:1:99", "default:2:1", "other:1:1"])
def test_a_position_no_event_has(shared: Api, after: str) -> None:
    job = shared.submit()
    response = shared.client.get(f"/api/v1/jobs/{job}", params={"after": after})
    assert problem(response, 422)["errors"][0]["path"] == "$.after"


def test_a_body_that_does_not_come(shared: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.api.bodies.PATIENCE", 0.1)
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")

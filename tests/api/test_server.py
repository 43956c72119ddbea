"""The role: where it may listen, how it starts and stops; CORS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.client import HTTPConnection
from typing import Any

import httpx2
import msgspec
import psutil
import pytest
import redis

from millstream.api.server import bind, serve
from millstream.core.config import Settings, as_environ
from millstream.core.embedded import Valkey
from millstream.core.errors import ConfigError, ServerUnfit
from tests.ports import coming_port

from .conftest import Api, problem, running, until

SERVE = """
from millstream.api.server import serve
from millstream.core.config import load
serve(load())
"""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_hosts_are_refused_without_keys(settings: Settings, host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        serve(msgspec.structs.replace(settings, host=host, port=0))


def test_a_taken_port_is_named() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}"):
            bind("127.0.0.1", port)


def test_a_redis_that_evicts_is_refused(settings: Settings, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(ServerUnfit, match="noeviction"):
                serve(msgspec.structs.replace(settings, port=0))
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def started(settings: Settings) -> tuple[subprocess.Popen[bytes], int]:
    port = coming_port()
    reading, writing = os.pipe()
    given = as_environ(settings, ["redis_url", "postgres_dsn"]) | {
        "MILLSTREAM_PORT": str(port),
        "MILLSTREAM_NOTIFY_FD": str(writing),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], env=os.environ | given, pass_fds=[writing]
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.readline() == b"ready\n"
    return process, port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_long_polls_and_then_the_process(
    settings: Settings, number: signal.Signals
) -> None:
    process, port = started(settings)
    url = f"http://127.0.0.1:{port}/api/v1"
    poll = HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        job = httpx2.post(f"{url}/jobs", json={"type": "a.job"}).json()["id"]
        poll.request("GET", f"/api/v1/jobs/{job}?wait=60")
        ours = poll.sock.getsockname()

        def is_taken() -> bool:
            theirs = psutil.Process(process.pid).net_connections("tcp")
            return any(one.raddr == ours for one in theirs)

        # The poll is under way once its connection is seen; a request sent after it is answered
        # after it was read.
        until(is_taken)
        httpx2.get(f"{url}/livez")
        process.send_signal(number)
        assert process.wait(45) == 0, "it would wait for the poll, which lasts a minute"
        assert json.load(poll.getresponse())["state"] == "queued"
    finally:
        poll.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("path", "body"),
    [("/jobs", {"type": "a.job"}), ("/jobs/batch", {"jobs": [{"type": "a.job"}]})],
)
def test_a_request_that_outlasts_the_grace_is_told_so(
    settings: Settings, valkey_server: Valkey, path: str, body: Any
) -> None:
    patient = msgspec.structs.replace(settings, grace=1.0, lease=60.0, command_timeout=20.0)
    found: list[httpx2.Response] = []
    with running(patient) as api:

        def post() -> None:
            found.append(api.client.post(f"/api/v1{path}", json=body))

        api.submit()
        valkey_server.kill(signal.SIGSTOP)
        try:
            waiting = threading.Thread(target=post)
            waiting.start()
            until(lambda: api.server.server_state.tasks)
            api.server.handle_exit(signal.SIGTERM, None)
            waiting.join(20)
        finally:
            valkey_server.kill(signal.SIGCONT)
    told = problem(found[0], 503, "draining")
    assert "not known" in told["detail"]
    assert found[0].headers["retry-after"] == "1"


def test_an_action_that_waits_for_the_tables_is_left_quietly(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with running(settings) as api:
        api.submit()  # there is no projector: the tables stand still
        body = {"action": "retry", "filter": {"queue": "default"}}
        waiting = threading.Thread(
            target=api.client.post, args=["/api/v1/jobs/actions"], kwargs={"json": body}
        )
        waiting.start()
        until(lambda: api.app.state.resources.changes._for_position)
        api.server.handle_exit(signal.SIGTERM, None)
        waiting.join(20)
    assert [one.getMessage() for one in caplog.records if one.name == "asyncio"] == []


def test_cors_by_configuration(settings: Settings) -> None:
    allowed = msgspec.structs.replace(settings, cors_origins=("https://app.example",))
    with running(allowed) as api:
        preflight = api.client.options(
            "/api/v1/jobs",
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            },
        )
        assert preflight.status_code in (200, 204)
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        origin = {"origin": "https://app.example"}
        good = api.client.post("/api/v1/jobs", json={"type": "a.job"}, headers=origin)
        assert good.status_code == 201
        assert good.headers["access-control-allow-origin"] == "https://app.example"
        bad = api.client.post("/api/v1/jobs", json={"type": 5}, headers=origin)
        problem(bad, 400)
        assert bad.headers["access-control-allow-origin"] == "https://app.example"
        other = api.client.get("/api/v1/livez", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_no_cors_unless_configured(settings: Settings) -> None:
    with running(settings) as api:
        origin = {"origin": "https://app.example"}
        response = api.client.post("/api/v1/jobs", json={"type": "a.job"}, headers=origin)
        assert "access-control-allow-origin" not in response.headers


def test_a_page_of_another_origin_cannot_act(settings: Settings) -> None:
    with running(settings) as api:
        id = api.submit()
        evil = {"origin": "https://evil.example"}
        response = api.client.post(f"/api/v1/jobs/{id}/cancel", headers=evil)
        problem(response, 403, "cross-origin")
        assert api.job(id)["state"] == "queued"
        own = {"origin": api.url}
        assert api.client.post(f"/api/v1/jobs/{id}/cancel", headers=own).status_code == 200
        until(lambda: api.get("/livez"))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_a_name_that_only_points_here_is_refused(shared: Api, host: str, status: int) -> None:
    headers = {"host": host}
    assert shared.client.get("/api/v1/livez", headers=headers).status_code == status
    response = shared.client.post("/api/v1/jobs", json={"type": "a"}, headers=headers)
    assert response.status_code == (201 if status == 200 else status)


def test_any_name_where_the_network_is_trusted(settings: Settings) -> None:
    with running(msgspec.structs.replace(settings, trust_network=True)) as api:
        headers = {"host": "jobs.example"}
        assert api.client.get("/api/v1/livez", headers=headers).status_code == 200

"""Submissions with a level of acknowledgement, and servers of a test's own to lose them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import msgspec
import redis

from millstream.core.config import Settings
from millstream.core.embedded import Valkey

from .conftest import DEADLINE, Api, problem, running

HOT = "{{ms:default}}:job:{}"


def post(api: Api, ack: str, **fields: Any) -> Any:
    return api.client.post("/api/v1/jobs", json={"type": "a.job", "ack": ack, **fields})


def accepted(api: Api, ack: str, **fields: Any) -> str:
    response = post(api, ack, **fields)
    assert response.status_code == 201, response.text
    return response.json()["id"]


def refused(response: Any, status: int, missing: str) -> None:
    found = problem(response, status, "level-not-available")
    (fault,) = found["errors"]
    assert fault["path"] == "$.ack"
    assert missing in fault["message"]
    assert "Nothing was submitted" in found["detail"]


def log_length(server: Valkey) -> int:
    with redis.Redis.from_url(server.url) as client:
        return client.xlen("{ms:default}:log")


def holds(server: Valkey, job: str) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return client.exists(HOT.format(job)) == 1


@contextlib.contextmanager
def serving(server: Valkey, **fields: Any) -> Generator[Api]:
    """An API over a server of the test's own, which starts here."""
    server.start()
    server.pin_port()
    settings = Settings(
        redis_url=server.url,
        postgres_dsn="postgresql://127.0.0.1:1/none",
        ack_timeout=DEADLINE,  # of a disk that others use, too
    )
    try:
        with running(msgspec.structs.replace(settings, **fields)) as api:
            yield api
    finally:
        server.stop()

"""Levels of acknowledgement: what holds for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.acknowledgement import Acknowledger
from millstream.core.config import Settings
from millstream.core.connection import connect_blocking
from millstream.core.errors import LevelRefused, Unconfirmed
from millstream.core.keys import Keys

from .acknowledging import accepted, refused
from .conftest import Api, problem


def test_memory_is_the_default(api: Api) -> None:
    assert accepted(api, "memory")
    assert api.client.post("/api/v1/jobs", json={"type": "a.job"}).status_code == 201


def test_asking_again_for_another_level_is_the_same_request(settings: Settings, api: Api) -> None:
    headers = {"idempotency-key": "k"}
    body = {"type": "a.job", "ack": "archived"}
    refused(api.client.post("/api/v1/jobs", json=body, headers=headers), 503, "projector")
    first = api.client.post("/api/v1/jobs", json=body | {"ack": "fsync"}, headers=headers)
    assert first.status_code == 201, first.text
    again = api.client.post("/api/v1/jobs", json={"type": "a.job"}, headers=headers)
    assert again.json() == first.json() | {"deduplicated": True}


@pytest.mark.parametrize("ack", ["disk", 1, None])
def test_what_is_no_level(shared: Api, nothing_done: None, ack: Any) -> None:
    for path, body in (("", {"type": "a"}), ("/batch", {"jobs": [{"type": "a"}]})):
        response = shared.client.post(f"/api/v1/jobs{path}", json=body | {"ack": ack})
        assert problem(response, 400)["errors"][0]["path"] == "$.ack"
    body = {"jobs": [{"type": "a", "ack": "memory"}]}
    found = problem(shared.client.post("/api/v1/jobs/batch", json=body), 400)
    assert found["errors"][0]["path"] == "$.jobs[0].ack"


async def test_a_server_that_lost_the_submission_confirms_nothing(redis_url: str) -> None:
    """As after a failover, or a restart, between the submission and its confirmation."""
    client = connect_blocking(redis_url, block=2, timeout=5)
    try:
        asked = Acknowledger(client, Keys(), replicas=1, timeout=2)
        with pytest.raises(Unconfirmed, match="has lost the submission"):
            await asked.confirm("fsync", "default", ["c1"])
        await client.set(Keys().once("default", "c1"), "1:1:")
        await asked.confirm("fsync", "default", ["c1"])
        with pytest.raises(LevelRefused, match="got 0"):
            await asked.check("replicated")
    finally:
        await client.aclose()

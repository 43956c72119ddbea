"""GET /audit, health and metrics, with jobs that were really lost."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest
import redis

from millstream.core.config import Settings
from millstream.core.keys import Keys

from .conftest import Api, projecting, until


def test_before_anybody_looked_there_is_nothing_to_tell(api: Api) -> None:
    assert api.get("/audit") == {"lost": 0, "doubled": 0, "stuck": 0, "items": []}
    told = api.get("/health")["conservation"]
    assert told == {"status": "ok", "checked_at": None, "lost": 0, "doubled": 0, "stuck": 0}


def test_a_lost_job_is_named_everywhere(api: Api, settings: Settings) -> None:
    kept, lost = api.submit(), api.submit()
    with projecting(settings):
        until(lambda: api.get("/audit")["items"] and api.get("/audit")["items"][0]["jobs"] == 2)
        assert api.get("/health")["status"] == "ok"
        assert _command(api).returncode == 0
        with redis.Redis.from_url(settings.redis_url) as client:
            client.delete(Keys("ms").job("default", lost))
        until(lambda: api.get("/audit")["lost"])
        found: dict[str, Any] = api.get("/audit")
    (queue,) = found["items"]
    assert (queue["queue"], queue["lost"], queue["doubled"], queue["stuck"]) == ("default", 1, 0, 0)
    assert [job["id"] for job in queue["examples"]["lost"]] == [lost]
    assert "Redis knows nothing" in queue["examples"]["lost"][0]["why"]
    health = api.get("/health")
    assert (health["status"], health["conservation"]["status"]) == ("degraded", "degraded")
    assert health["conservation"]["lost"] == 1
    metrics = api.client.get("/metrics").text
    assert 'millstream_jobs_astray{kind="lost"} 1.0' in metrics
    assert 'millstream_jobs_astray{kind="stuck"} 0.0' in metrics
    done = _command(api)
    assert done.returncode == 1
    assert msgspec.json.decode(done.stdout)["lost"] == 1
    assert kept != lost


def _command(api: Api) -> subprocess.CompletedProcess[bytes]:
    """`millstream audit`."""
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    return subprocess.run(
        [sys.executable, "-m", "millstream.cli", "audit", "--url", api.url],
        env=environ, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("query", ["limit=1", "x=y"])
def test_it_takes_no_parameters(shared: Api, query: str) -> None:
    assert shared.client.get(f"/api/v1/audit?{query}").status_code == 400

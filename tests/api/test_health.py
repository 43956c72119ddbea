"""Health, readiness, metrics, and what happens when Redis stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from millstream.core.config import Settings
from millstream.core.embedded import Valkey
from millstream.core.events import Command
from millstream.projections.restore.course import restore

from .conftest import Api, problem, until


def test_everything_well(api: Api, projector: None) -> None:
    api.submit()
    until(lambda: api.get("/health")["projection"]["lag"] == 0)
    found = api.get("/health")
    assert found["status"] == "ok"
    assert found["redis"]["status"] == found["postgres"]["status"] == "ok"
    assert found["projection"]["partitions"] == [
        {
            "partition": "default",
            "head": "default:1:1",
            "projected": "default:1:1",
            "lag": 0,
            "halted": None,
            "lost": None,
            "missing": 0,
        }
    ]
    assert api.get("/livez") == {"status": "ok"}
    assert api.get("/readyz") == {"status": "ok"}


def test_lag_without_a_projector(api: Api) -> None:
    for _ in range(3):
        api.submit(queue="slow")
    found = api.get("/health")
    assert found["projection"]["lag"] == 3
    (one,) = found["projection"]["partitions"]
    assert (one["partition"], one["projected"], one["lag"]) == ("slow", None, 3)
    text = api.client.get("/metrics").text
    assert 'millstream_projection_lag_events{partition="slow"} 3.0' in text


def test_metrics(api: Api) -> None:
    id = api.submit()
    api.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "a"}] * 5})
    api.job(id)
    api.client.get("/api/v1/jobs/no-id")
    api.get("/jobs")
    api.client.get("/api/v1/jobs?limit=0")
    api.client.post("/api/v1/jobs", content=b"x")
    response = api.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.text
    assert "millstream_api_submitted_jobs_total 6.0" in text
    for labels in (
        'method="POST",route="/api/v1/jobs",status="201"',
        'method="POST",route="/api/v1/jobs",status="415"',
        'method="GET",route="/api/v1/jobs",status="200"',
        'method="GET",route="/api/v1/jobs",status="400"',
        'method="GET",route="/api/v1/jobs/{job_id}",status="200"',
        'method="GET",route="/api/v1/jobs/{job_id}",status="404"',
    ):
        assert f"millstream_api_requests_total{{{labels}}} 1.0" in text
    assert 'millstream_dependency_up{dependency="redis"} 1.0' in text


def test_redis_stops_and_comes_back(api: Api, valkey_server: Valkey) -> None:
    kept = api.submit()
    valkey_server.kill()
    response = api.client.post("/api/v1/jobs", json={"type": "a.job"})
    problem(response, 503, "redis-unavailable")
    assert response.headers["retry-after"]
    batch = api.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "a.job"}] * 3})
    problem(batch, 503, "redis-unavailable")
    problem(api.client.get(f"/api/v1/jobs/{kept}"), 503, "redis-unavailable")
    assert api.client.get("/api/v1/readyz").status_code == 503
    health = api.client.get("/api/v1/health")
    assert health.status_code == 503
    assert health.json()["redis"]["status"] == "down"
    assert api.client.get("/api/v1/livez").status_code == 200
    assert 'millstream_dependency_up{dependency="redis"} 0.0' in api.client.get("/metrics").text
    valkey_server.start()
    until(lambda: api.client.get("/api/v1/readyz").status_code == 200)
    assert api.job(api.submit())["state"] == "queued"


def test_a_full_redis_takes_no_new_jobs(api: Api, redis_url: str) -> None:
    api.submit()
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            response = api.client.post("/api/v1/jobs", json={"type": "a.job"})
            problem(response, 503, "memory-full")
            assert response.headers["retry-after"]
        finally:
            client.config_set("maxmemory", 0)
    api.submit()


def test_a_lost_log_takes_no_new_jobs(api: Api, redis_url: str) -> None:
    api.submit()
    with redis.Redis.from_url(redis_url) as client:
        client.delete("{ms:default}:log")
    found = problem(api.client.post("/api/v1/jobs", json={"type": "a.job"}), 503, "log-lost")
    assert "default" in found["detail"]
    api.submit(queue="other")


def test_a_lost_log_is_told_everywhere_until_it_is_restored(
    api: Api, settings: Settings, projector: None
) -> None:
    api.submit()
    until(lambda: api.get("/health")["projection"]["lag"] == 0)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    found = until(lambda: _lost(api))
    assert "gone back" in found["projection"]["partitions"][0]["lost"]
    assert found["status"] == "degraded"
    ready = api.client.get("/api/v1/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "down", "lost": ["default"]})
    assert 'millstream_log_lost{partition="default"} 1.0' in api.client.get("/metrics").text
    refused = api.client.post("/api/v1/jobs", json={"type": "a"})
    problem(refused, 503, "log-lost")
    asyncio.run(restore(settings, by=Command("ada"), dry_run=False))
    until(lambda: api.get("/health")["status"] == "ok")
    assert api.get("/readyz") == {"status": "ok"}
    api.submit()


def _lost(api: Api) -> Any:
    found = api.get("/health")
    return found if any(one["lost"] for one in found["projection"]["partitions"]) else None


def test_tables_of_an_earlier_version_ask_for_a_rebuild(
    api: Api, settings: Settings, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.api.health.VERSION", 2)
    found = api.get("/health")
    assert found["projection"]["rebuild"].endswith("this release makes 2: millstream rebuild")
    assert found["status"] == "degraded"

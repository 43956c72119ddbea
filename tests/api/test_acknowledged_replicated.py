"""`replicated`: what is acknowledged survives its primary."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from millstream.core.embedded import Valkey

from .acknowledging import accepted, holds, log_length, post, refused, serving
from .conftest import problem, until


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """A primary, and a replica of it that is online."""
    primary = Valkey(tmp_path / "primary", options={"repl-diskless-sync-delay": "0"})
    primary.start()
    primary.pin_port()
    options = {"replicaof": f"127.0.0.1 {primary.port}", "masterauth": primary.password}
    replica = Valkey(tmp_path / "replica", options=options)
    replica.start()
    with redis.Redis.from_url(primary.url) as client:
        until(lambda: client.info("replication").get("slave0", {}).get("state") == "online")
    yield primary, replica
    replica.stop()
    primary.stop()


def test_what_is_replicated_survives_its_primary(pair: tuple[Valkey, Valkey]) -> None:
    primary, replica = pair
    with serving(primary) as api:
        jobs = [accepted(api, "replicated") for _ in range(20)]
        batch = {"ack": "replicated", "jobs": [{"type": "a.job"}] * 300}
        items = api.client.post("/api/v1/jobs/batch", json=batch).json()["items"]
        jobs += [item["id"] for item in items]
        primary.kill()
        assert [job for job in jobs if not holds(replica, job)] == []


def test_a_replica_that_does_not_follow_confirms_nothing(pair: tuple[Valkey, Valkey]) -> None:
    primary, replica = pair
    with serving(primary, ack_timeout=0.3) as api:
        until(lambda: post(api, "replicated").is_success)
        replica.kill(signal.SIGSTOP)
        try:
            found = problem(post(api, "replicated"), 503, "not-confirmed")
            assert len(found["items"]) == 1
            assert "expected 1 replicas to have it within 300 ms, got 0" in found["detail"]
            batch = {"ack": "replicated", "jobs": [{"type": "a.job"}] * 200}
            response = api.client.post("/api/v1/jobs/batch", json=batch)
            found = problem(response, 503, "not-confirmed")
            assert (found["accepted"], len(found["items"])) == (200, 200)
        finally:
            replica.kill(signal.SIGCONT)
        until(lambda: post(api, "replicated").is_success)


def test_too_few_replicas_are_told_before_anything_is_written(pair: tuple[Valkey, Valkey]) -> None:
    primary, replica = pair
    with serving(primary, ack_replicas=2) as api:
        refused(post(api, "replicated"), 503, "expected 2 replicas online, got 1")
        assert log_length(primary) == 0
    with serving(replica) as api:
        refused(post(api, "replicated"), 503, "Redis is itself a replica")

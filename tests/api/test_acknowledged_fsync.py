"""`fsync`: what is acknowledged survives a loss of power, and is refused where none would."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from millstream.core import acknowledgement, syncing
from millstream.core.embedded import Valkey
from tests.faults.power import Witnessed

from .acknowledging import accepted, holds, log_length, post, refused, serving
from .conftest import Api, problem, until


def test_what_is_synced_survives_a_loss_of_power_and_what_is_not_does_not(tmp_path: Path) -> None:
    server = Witnessed(tmp_path)
    kept: list[str] = []
    with serving(server) as api:
        for _ in range(20):
            kept.append(accepted(api, "fsync"))
            batch: dict[str, Any] = {"ack": "fsync", "jobs": [{"type": "a.job"}] * 300}
            response = api.client.post("/api/v1/jobs/batch", json=batch)
            assert response.status_code == 201, response.text
            kept += [item["id"] for item in response.json()["items"]]
            gone = accepted(api, "memory")
            lost = server.lose_power()
            server.start()
            assert [job for job in kept if not holds(server, job)] == []
            if not holds(server, gone):
                assert lost > 0
                return
    pytest.fail("expected what was acknowledged in memory alone to be lost in one of twenty rounds")


def test_confirmations_are_shared_and_nobody_else_waits_for_them(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def counted(ask: Any, timeout: float) -> None:
        waits.append(timeout)
        await syncing.until_synced(ask, timeout)

    monkeypatch.setattr(acknowledgement, "until_synced", counted)
    with ThreadPoolExecutor(40) as threads:
        began = time.monotonic()
        slow = [threads.submit(accepted, api, "fsync") for _ in range(32)]
        quick = 0
        while not all(one.done() for one in slow):
            accepted(api, "memory")
            quick += 1
        assert len({one.result() for one in slow}) == 32
        elapsed = time.monotonic() - began
    assert len(waits) < 32, "one for each would take half a minute"
    assert quick * syncing.SYNC_EVERY > elapsed, "each of them would have waited so long at least"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"appendonly": "no"}, "appendonly is no"),
        ({"appendfsync": "no"}, "appendfsync is no"),
    ],
)
def test_fsync_is_refused_where_nothing_is_synced(
    tmp_path: Path, options: dict[str, str], missing: str
) -> None:
    server = Valkey(tmp_path, options=options)
    with serving(server) as api:
        refused(post(api, "fsync"), 422, missing)
        batch = {"ack": "fsync", "jobs": [{"type": "a.job"}]}
        refused(api.client.post("/api/v1/jobs/batch", json=batch), 422, missing)
        assert log_length(server) == 0
        assert accepted(api, "memory")


class OldRedis(Witnessed):
    """Redis 7.0, which knows no WAITAOF. Skips the test where it is not installed."""

    def command(self, port: int) -> Any:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("needs a redis-server")
        return [binary, *super().command(port)[1:]]


def test_what_is_synced_survives_also_on_a_server_without_waitaof(tmp_path: Path) -> None:
    server = OldRedis(tmp_path)
    with serving(server) as api:
        jobs = [accepted(api, "fsync")]
        accepted(api, "memory")
        server.lose_power()
        server.start()
        assert holds(server, jobs[0])


def test_with_always_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "SYNC_EVERY", 3600.0)
    server = Witnessed(tmp_path, appendfsync="always")
    with serving(server) as api:
        jobs = [accepted(api, "fsync") for _ in range(3)]
        server.lose_power()
        server.start()
        assert all(holds(server, job) for job in jobs)


def test_a_file_made_anew_meanwhile_is_waited_for(tmp_path: Path) -> None:
    server = Witnessed(tmp_path)
    with serving(server) as api, ThreadPoolExecutor() as threads:
        for _ in range(3):
            told = threads.submit(accepted, api, "fsync")
            until(lambda: log_length(server) > 0)
            with redis.Redis.from_url(server.url) as client:
                client.bgrewriteaof()
            job = told.result()
            server.lose_power()
            server.start()
            assert holds(server, job)


def test_what_is_not_synced_in_time_is_told_with_its_id(tmp_path: Path) -> None:
    server = Valkey(tmp_path)
    with serving(server, ack_timeout=0.2) as api:
        found = problem(post(api, "fsync"), 503, "not-confirmed")
        assert "expected it on the disk within 0.2 s" in found["detail"]
        (item,) = found["items"]
        assert found["accepted"] == 1
        assert item["position"].startswith("default:1:")
        assert holds(server, item["id"])


def test_a_server_killed_while_it_is_waited_for_confirms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncing, "SYNC_EVERY", 4.0)  # by then it was killed, and is back
    server = Valkey(tmp_path)
    with serving(server) as api, ThreadPoolExecutor() as threads:
        told = threads.submit(post, api, "fsync")
        until(lambda: log_length(server) > 0)
        server.kill()
        server.start()
        problem(told.result(), 503, "not-confirmed")

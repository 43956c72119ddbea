"""Levels of acknowledgement: each against the loss it claims to survive, and each refused."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import redis

from millstream.core import acknowledgement, syncing
from millstream.core.acknowledgement import Acknowledger
from millstream.core.config import Settings
from millstream.core.connection import connect_blocking
from millstream.core.embedded import Postgres, Valkey
from millstream.core.errors import LevelRefused, Unconfirmed
from millstream.core.keys import Keys
from tests.faults.power import Witnessed

from .conftest import Api, problem, running, until

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
    settings = Settings(redis_url=server.url, postgres_dsn="postgresql://127.0.0.1:1/none")
    try:
        with running(msgspec.structs.replace(settings, **fields)) as api:
            yield api
    finally:
        server.stop()


def test_memory_is_the_default(api: Api) -> None:
    assert accepted(api, "memory")
    assert api.client.post("/api/v1/jobs", json={"type": "a.job"}).status_code == 201


# -- fsync ---------------------------------------------------------------------------------------


def test_what_is_synced_survives_a_loss_of_power_and_what_is_not_does_not(tmp_path: Path) -> None:
    server = Witnessed(tmp_path)
    kept: list[str] = []
    with serving(server) as api:
        for _ in range(5):
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
    pytest.fail("expected what was acknowledged in memory alone to be lost in one of five rounds")


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


# -- replicated ----------------------------------------------------------------------------------


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


# -- archived ------------------------------------------------------------------------------------


async def archive(settings: Settings) -> dict[str, str]:
    connection: Any = await asyncpg.connect(settings.postgres_dsn)
    try:
        return {
            str(job): kind
            for job, kind in await connection.fetch("SELECT job, type FROM job_events")
        }
    finally:
        await connection.close()


async def test_what_is_archived_survives_all_of_redis(
    settings: Settings, api: Api, projector: None
) -> None:
    until(lambda: api.client.post("/api/v1/jobs", json={"type": "a", "ack": "archived"}).is_success)
    jobs = [accepted(api, "archived", queue=f"q{n % 2}") for n in range(6)]
    batch = {"ack": "archived", "jobs": [{"type": "a", "queue": f"q{n % 3}"} for n in range(300)]}
    response = api.client.post("/api/v1/jobs/batch", json=batch)
    assert response.status_code == 201, response.text
    jobs += [item["id"] for item in response.json()["items"]]
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    kept = await archive(settings)
    assert {kept.get(job) for job in jobs} == {"job.submitted"}


def test_a_log_begun_again_is_not_taken_for_the_one_that_is_archived(
    settings: Settings, api: Api, projector: None
) -> None:
    until(lambda: post(api, "archived").is_success)
    for _ in range(3):
        accepted(api, "archived")
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    for _ in range(3):
        assert post(api, "archived").status_code == 503


def test_without_a_projector_archived_is_refused(settings: Settings, api: Api) -> None:
    refused(post(api, "archived"), 503, "no projector is at work")
    with redis.Redis.from_url(settings.redis_url) as client:
        assert client.keys("*:log") == []


def test_without_postgresql_archived_is_refused(
    settings: Settings, api: Api, postgres_server: Postgres
) -> None:
    postgres_server.stop()
    try:
        refused(post(api, "archived"), 503, "PostgreSQL")
        assert accepted(api, "memory")
    finally:
        postgres_server.start()


async def test_a_projector_that_found_postgresql_again_is_seen_though_nothing_happens(
    settings: Settings, api: Api, projector: None, postgres_server: Postgres
) -> None:
    until(lambda: post(api, "archived").is_success)
    postgres_server.kill()
    postgres_server.start()
    until(lambda: post(api, "archived").is_success)


async def test_what_the_projection_does_not_take_in_time_is_told_with_its_id(
    settings: Settings, projector: None
) -> None:
    with running(msgspec.structs.replace(settings, ack_timeout=0.5)) as api:
        until(lambda: post(api, "archived").is_success)
        connection: Any = await asyncpg.connect(settings.postgres_dsn)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE job_events IN SHARE MODE")
                found = problem(post(api, "archived"), 503, "not-confirmed")
        finally:
            await connection.close()
        (item,) = found["items"]
        until(lambda: api.get(f"/jobs/{item['id']}/events")["items"])


async def test_a_halted_projection_is_told_before_anything_is_written(
    settings: Settings, api: Api, projector: None
) -> None:
    until(lambda: post(api, "archived").is_success)
    connection: Any = await asyncpg.connect(settings.postgres_dsn)
    await connection.execute("UPDATE checkpoints SET epoch = 7, seq = 9, halted = 'log went back'")
    await connection.close()
    refused(post(api, "archived"), 503, "log went back")


# -- all -----------------------------------------------------------------------------------------


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

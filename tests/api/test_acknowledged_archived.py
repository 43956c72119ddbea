"""`archived`: what is acknowledged survives all of Redis."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
import pytest
import redis

from millstream.core.config import Settings
from millstream.core.embedded import Postgres

from .acknowledging import accepted, post, refused
from .conftest import DEADLINE, Api, problem, running, until


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With patience: what is waited for here comes."""
    return msgspec.structs.replace(settings, ack_timeout=DEADLINE)


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

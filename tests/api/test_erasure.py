"""Jobs about a person: encrypted in Redis and PostgreSQL, readable over the API until erased."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from millstream.core import subjects as core_subjects
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.encryption import Secrets
from millstream.projections import queries
from millstream.projections.rotation import Rotated, rotate

from .conftest import Api, Core, problem, running, until

SECRET = b"\x07" * 32
HER = "customer-4711"


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """An API that knows the secret."""
    with running(msgspec.structs.replace(settings, erasure_secret=SECRET)) as found:
        yield found


def erase(api: Api, subject: str = HER, **by: str) -> Any:
    return api.client.post("/api/v1/subjects/erase", json={"subject": subject, **by})


async def everything_in_redis(core: Core) -> bytes:
    found: list[bytes] = []
    async for key in core.redis.scan_iter("*"):
        kind = await core.redis.type(key)
        if kind == b"string":
            found.append(await core.redis.get(key) or b"")
        elif kind == b"stream":
            found += [b"".join(fields) for _, fields in await core.redis.xrange(key)]
    return b"\n".join(found)


async def test_a_payload_is_encrypted_in_redis_and_shown_to_who_may_read(
    api: Api, core: Core, projector: None
) -> None:
    id = api.submit("a.job", payload={"mail": "ada@example.org"}, subject=HER)
    assert api.job(id)["payload"] == {"mail": "ada@example.org"}  # from hot state or the tables
    until(lambda: api.get("/jobs")["items"])
    (shown,) = api.get("/jobs")["items"]
    assert (shown["payload"], shown["erased"]) == ({"mail": "ada@example.org"}, False)
    assert b"ada@" not in await everything_in_redis(core)
    assert b"4711" not in await everything_in_redis(core)
    assert "ada@" not in str(api.get(f"/jobs/{id}/events"))


async def test_an_erased_subject_is_unreadable_and_its_history_stays(
    api: Api, projector: None
) -> None:
    id = api.submit("a.job", payload=["secret"], subject=HER)
    other = api.submit("a.job", payload=["kept"], subject="customer-2")
    until(lambda: len(api.get("/jobs")["items"]) == 2)
    before = api.get(f"/jobs/{id}/events")
    answered = erase(api, actor="dpo", reason="asked for it")
    assert answered.status_code == 200
    assert len(answered.json()["keys"]) == 1
    job = api.job(id)
    assert (job["payload"], job["erased"], job["type"]) == (None, True, "a.job")
    assert api.job(other)["payload"] == ["kept"]
    assert api.get(f"/jobs/{id}/events") == before


async def test_who_erased_and_why_is_kept_and_the_key_is_not(
    api: Api, postgres_server: Postgres, settings: Settings, projector: None
) -> None:
    api.submit("a.job", payload=1, subject=HER)
    (key,) = erase(api, actor="dpo", reason="asked for it").json()["keys"]
    import asyncpg

    connection = await asyncpg.connect(settings.postgres_dsn)
    try:
        (row,) = await connection.fetch("SELECT * FROM subject_keys")
    finally:
        await connection.close()
    assert (row["id"], row["actor"], row["reason"]) == (key, "dpo", "asked for it")
    assert (row["subject"], row["wrapped"]) == (None, None)
    assert row["erased_at"] >= row["created_at"]


async def test_the_secret_is_changed_while_all_goes_on(
    settings: Settings, core: Core, projector: None
) -> None:
    before = msgspec.structs.replace(settings, erasure_secret=SECRET)
    after = msgspec.structs.replace(settings, erasure_secret=b"\x08" * 32)
    both = msgspec.structs.replace(after, erasure_old_secret=SECRET)
    with running(before) as old, running(both) as new:
        first = old.submit("a.job", payload="one", subject=HER)
        gone = old.submit("a.job", payload="gone", subject="customer-1")
        second = new.submit("a.job", payload="two", subject="customer-2")
        until(lambda: len(old.get("/jobs")["items"]) == 3)
        assert old.job(second)["payload"] == "two"  # whoever knows the old one alone can read it
        assert erase(old, "customer-1").status_code == 200
        secrets = Secrets(b"\x08" * 32, SECRET)
        keys = core_subjects.SubjectKeys(core.redis, core.keys)
        pool = await queries.connect(settings)
        wrong = Secrets(b"x" * 32, b"y" * 32)
        assert await rotate(pool, keys, wrong) == Rotated(2, 0, 2)
        assert await rotate(pool, keys, secrets) == Rotated(2, 2, 0)
        assert await rotate(pool, keys, secrets) == Rotated(2, 0, 0)
        assert await rotate(pool, keys, wrong) == Rotated(2, 0, 2)
        await pool.close()
        third = new.submit("a.job", payload="three", subject="customer-3")
    with running(after) as api:
        shown = [api.job(job)["payload"] for job in (first, second, third, gone)]
        assert shown == ["one", "two", "three", None]
        more = api.submit("a.job", payload="more", subject=HER)  # found by its name still
        assert len(erase(api).json()["keys"]) == 1
        until(lambda: api.job(more)["erased"] and api.job(first)["erased"])
        (key,) = erase(api, "customer-2").json()["keys"]
        assert await keys.get([key]) == {key: "erased"}


async def test_erasing_twice_says_that_there_is_nothing(api: Api, projector: None) -> None:
    api.submit("a.job", payload=1, subject=HER)
    assert erase(api).status_code == 200
    told = problem(erase(api), 404, "not-found")
    assert told["errors"][0]["path"] == "$.subject"


async def test_a_subject_that_comes_back_has_another_key(api: Api, projector: None) -> None:
    old = api.submit("a.job", payload="old", subject=HER)
    (first,) = erase(api).json()["keys"]
    new = api.submit("a.job", payload="new", subject=HER)
    assert api.job(new)["payload"] == "new"
    until(lambda: api.job(old)["erased"])
    (second,) = erase(api).json()["keys"]
    assert first != second


async def test_jobs_of_one_subject_share_a_key_also_in_a_batch(
    api: Api, core: Core, projector: None
) -> None:
    jobs = [{"type": "a.job", "payload": n, "subject": HER} for n in range(3)]
    jobs += [{"type": "a.job", "payload": 3, "subject": "b"}, {"type": "a.job", "payload": 4}]
    answered = api.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert answered.status_code == 201
    ids = [item["id"] for item in answered.json()["items"]]
    assert [api.job(id)["payload"] for id in ids] == [0, 1, 2, 3, 4]
    keys = [
        msgspec.json.decode(record.body)["payload"]["data"]["key"]
        for record in (await core.events("default"))[:4]
    ]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert len(erase(api).json()["keys"]) == 1


def test_without_a_secret_no_subject_is_taken(settings: Settings) -> None:
    with running(settings) as api:
        answered = api.client.post("/api/v1/jobs", json={"type": "a.job", "subject": HER})
        told = problem(answered, 422, "unacceptable-value")
        assert told["errors"][0]["path"] == "$.subject"
        assert "MILLSTREAM_ERASURE_SECRET" in told["detail"]


def test_uniqueness_by_payload_would_outlive_an_erasure(api: Api) -> None:
    job = {"type": "a.job", "subject": HER, "payload": 1, "unique": {}}
    told = problem(api.client.post("/api/v1/jobs", json=job), 422, "unacceptable-value")
    assert told["errors"][0]["path"] == "$.unique.key"
    job["unique"] = {"key": "k"}
    assert api.client.post("/api/v1/jobs", json=job).status_code == 201


@pytest.mark.parametrize("subject", ["", "x" * 201, "a\0b", 7])
def test_a_subject_is_a_short_text(api: Api, subject: Any) -> None:
    answered = api.client.post("/api/v1/jobs", json={"type": "a.job", "subject": subject})
    assert problem(answered, 400, "invalid-request")["errors"][0]["path"] == "$.subject"


async def test_what_was_erased_cannot_be_read_by_asking_for_the_past(
    api: Api, projector: None
) -> None:
    id = api.submit("a.job", payload=["secret"], subject=HER)
    submitted = until(lambda: api.get("/jobs")["items"])[0]["submitted_at"]
    assert api.job(id, at=submitted)["payload"] == ["secret"]
    erase(api)
    job = api.job(id, at=submitted)
    assert (job["payload"], job["erased"]) == (None, True)
    assert api.get("/jobs", at=submitted)["items"][0]["payload"] is None

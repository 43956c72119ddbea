"""Schedules whose jobs are about a person: encrypted, readable until erased, and silent then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from millstream.core.config import Settings

from .conftest import Api, Core, problem, running, until
from .test_erasure import HER, SECRET, erase
from .test_schedules import URL, act, make, shown, told

MAIL = {"mail": "ada@example.org"}
BACK = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """An API that knows the secret."""
    with running(msgspec.structs.replace(settings, erasure_secret=SECRET)) as found:
        yield found


def change(api: Api, status: int = 200, name: str = "s", **given: Any) -> Any:
    response = api.client.patch(f"{URL}/{name}", json=given)
    assert response.status_code == status, response.text
    return response.json()


async def log_of(core: Core) -> bytes:
    return b"\n".join(record.body for record in await core.events("default"))


async def test_its_payload_is_encrypted_and_shown_to_who_may_read(
    api: Api, core: Core, projector: None
) -> None:
    made = make(api, payload=MAIL, subject=HER)
    assert (made["payload"], made["erased"]) == (MAIL, False)
    assert "codec" not in made
    assert "subject" not in made
    assert shown(api)["payload"] == api.get("/schedules")["items"][0]["payload"] == MAIL
    kept = await core.redis.hgetall(core.keys.schedule("default", "s"))
    for place in (await log_of(core), b"\n".join(kept.values())):
        assert b"ada@" not in place
        assert b"4711" not in place
        assert b"aes256gcm" in place


async def test_its_jobs_are_encrypted_with_the_same_key(
    api: Api, core: Core, projector: None
) -> None:
    make(api, payload=MAIL, subject=HER)
    (fired,) = act(api, "fire").json()["jobs"]
    (filled, *_) = act(api, "backfill", **BACK).json()["jobs"]
    assert api.job(fired)["payload"] == api.job(filled)["payload"] == MAIL
    assert b"ada@" not in await log_of(core)
    assert len(erase(api).json()["keys"]) == 1
    until(lambda: api.job(fired)["erased"] and api.job(filled)["erased"])


async def test_an_erased_one_shows_nothing_and_fires_nothing(
    api: Api, core: Core, projector: None
) -> None:
    make(api, payload=MAIL, subject=HER)
    make(api, name="other", payload="kept")
    erase(api)
    assert (shown(api)["payload"], shown(api)["erased"]) == (None, True)
    assert [one["erased"] for one in api.get("/schedules")["items"]] == [False, True]
    act(api, "pause")
    for verb, given in (("fire", {}), ("backfill", BACK), ("resume", {})):
        answer = problem(act(api, verb, **given), 409, "conflict")
        assert answer["detail"] == (
            "The payload of schedule s was erased: give it another, or delete it."
        )
    assert api.get("/jobs")["items"] == []
    assert act(api, "fire", "other").status_code == 200
    assert api.client.delete(f"{URL}/s").json()["erased"] is True


async def test_an_erased_one_is_given_another_payload(
    api: Api, core: Core, projector: None
) -> None:
    make(api, payload=MAIL, subject=HER)
    erase(api)
    answer = problem(api.client.patch(f"{URL}/s", json={"payload": 1}), 422, "unacceptable-value")
    assert answer["errors"][0]["path"] == "$.subject"
    assert change(api, cron="0 4 * * *")["erased"] is True
    found = change(api, payload="new", subject=HER)
    assert (found["payload"], found["erased"]) == ("new", False)
    assert len(erase(api).json()["keys"]) == 1
    found = change(api, payload="of nobody", subject=None)
    assert (found["payload"], found["erased"]) == ("of nobody", False)
    assert b'"of nobody"' in await log_of(core)
    assert act(api, "fire").status_code == 200


async def test_what_is_changed_stays_encrypted_for_the_same_person(
    api: Api, core: Core, projector: None
) -> None:
    make(api, payload=MAIL, subject=HER)
    assert change(api, tags=["a"])["payload"] == MAIL
    assert change(api, payload={"mail": "ada@example.com"})["payload"] == {
        "mail": "ada@example.com"
    }
    assert change(api, payload=None)["payload"] is None
    assert shown(api)["erased"] is False
    assert b"ada@" not in await log_of(core)
    (key,) = erase(api).json()["keys"]
    assert shown(api)["erased"] is True
    specs = [body["spec"]["payload"]["key"] for _, body in await told(core) if "spec" in body]
    assert specs == [key] * 4


def test_a_subject_is_said_beside_its_payload(api: Api) -> None:
    make(api, payload=MAIL)
    answer = problem(api.client.patch(f"{URL}/s", json={"subject": HER}), 422)
    assert answer["errors"][0] == {
        "path": "$.payload",
        "message": "expected the payload beside subject: the log keeps the one before as it is",
        "in": "body",
    }
    assert shown(api)["payload"] == MAIL


@pytest.mark.parametrize("subject", ["", "x" * 201, "a\0b", 7])
def test_a_subject_is_a_short_text(api: Api, subject: Any) -> None:
    given = {"name": "s", "type": "a.job", "every": 60, "subject": subject}
    answer = problem(api.client.post(URL, json=given), 400, "invalid-request")
    assert answer["errors"][0]["path"] == "$.subject"


def test_nobody_says_how_a_payload_is_to_be_read(api: Api) -> None:
    given = {"name": "s", "type": "a.job", "every": 60, "codec": "aes256gcm"}
    problem(api.client.post(URL, json=given), 400, "invalid-request")
    make(api)
    problem(api.client.patch(f"{URL}/s", json={"codec": "json"}), 400, "invalid-request")


def test_without_a_secret_no_subject_is_taken(settings: Settings) -> None:
    with running(settings) as api:
        given = {"name": "s", "type": "a.job", "every": 60, "subject": HER}
        answer = problem(api.client.post(URL, json=given), 422, "unacceptable-value")
        assert answer["errors"][0]["path"] == "$.subject"

"""Payloads in flows, in schedules and about persons are held against what workers take, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from millstream.api import payloads
from millstream.core.config import Settings

from .conftest import Api, Core, problem, running
from .paying import Cents, Payment, Said, pay
from .test_erasure import HER, SECRET

KIND = "invalid-payload"
FLOWS = "/api/v1/flows"
SCHEDULES = "/api/v1/schedules"
GOOD: dict[str, Any] = {"type": "pay", "payload": {"amount": 1}}
BAD: dict[str, Any] = {"type": "pay", "payload": {"amount": "1"}}
DAILY = {"name": "s", "cron": "0 8 * * *"}


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """An API that knows the secret of persons."""
    with running(msgspec.structs.replace(settings, erasure_secret=SECRET)) as found:
        yield found


@pytest.fixture
async def said(core: Core, monkeypatch: pytest.MonkeyPatch) -> Said:
    monkeypatch.setattr(payloads, "FRESH", 0.0)
    said = Said(core)
    await said.say("a", {"pay": Payment})
    return said


def refused(response: Any) -> list[str]:
    """The places of the faults."""
    return [one["path"] for one in problem(response, 422, KIND)["errors"]]


async def nothing_happened(core: Core) -> bool:
    return await core.events() == []


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        ({"jobs": [GOOD, BAD]}, "$.jobs[1].payload.amount"),
        ({"chain": [GOOD, GOOD, BAD]}, "$.chain[2].payload.amount"),
        ({"batch": [BAD], "then": GOOD}, "$.batch[0].payload.amount"),
        ({"batch": [GOOD], "then": BAD}, "$.then.payload.amount"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
async def test_a_flow(
    api: Api, said: Said, flow: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    assert refused(api.client.post(FLOWS, json=flow, headers=headers)) == [path]
    assert await nothing_happened(said.core)
    right = msgspec.json.decode(msgspec.json.encode(flow).replace(b'"1"', b"1"))
    assert api.client.post(FLOWS, json=right).status_code == 201


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
async def test_jobs_added_to_a_flow(api: Api, said: Said, headers: dict[str, str]) -> None:
    flow = {"batch": [], "then": GOOD, "open": True}
    id = api.client.post(FLOWS, json=flow).json()["id"]
    count = len(await said.core.events())
    url = f"{FLOWS}/{id}/jobs"
    added = api.client.post(url, json={"jobs": [GOOD, BAD]}, headers=headers)
    assert refused(added) == ["$.jobs[1].payload.amount"]
    assert len(await said.core.events()) == count
    assert api.client.post(url, json={"jobs": [GOOD], "close": True}).status_code == 201


async def test_a_schedule(api: Api, said: Said) -> None:
    assert refused(api.client.post(SCHEDULES, json=DAILY | BAD)) == ["$.payload.amount"]
    assert await nothing_happened(said.core)
    assert api.client.post(SCHEDULES, json=DAILY | GOOD).status_code == 201

    def change(**given: Any) -> Any:
        return api.client.patch(f"{SCHEDULES}/s", json=given)

    assert refused(change(payload={})) == ["$.payload.amount"]
    assert change(payload={"amount": 2}).status_code == 200
    await said.workers.leave("a")
    await said.say("b", {"pay": Cents, "free": Any})
    assert change(cron="0 9 * * *").status_code == 200, "what it says already is not asked about"
    assert refused(change(payload={"amount": 3})) == ["$.payload.amount"]
    assert change(type="free").status_code == 200
    assert refused(change(type="pay")) == ["$.payload.amount"]
    assert change(type="pay", payload={"cents": 3}).status_code == 200


async def test_a_job_about_a_person(api: Api, said: Said) -> None:
    found = problem(pay(api, {"amount": "1"}, subject=HER), 422, KIND)
    assert found["errors"][0]["message"] == "Expected `int`, got `str`"
    batch = {"jobs": [GOOD | {"subject": HER}, BAD | {"subject": HER}]}
    assert refused(api.client.post("/api/v1/jobs/batch", json=batch)) == [
        "$.jobs[1].payload.amount"
    ]
    assert await nothing_happened(said.core)
    assert not await said.core.redis.exists(said.core.keys.subjects), "no key was made for it"
    assert pay(api, {"amount": 1}, subject=HER).status_code == 201
    (submitted, *_) = await said.core.events()
    assert b"aes256gcm" in submitted.body


async def test_a_schedule_about_a_person(api: Api, said: Said) -> None:
    given = DAILY | {"subject": HER}
    assert refused(api.client.post(SCHEDULES, json=given | BAD)) == ["$.payload.amount"]
    assert api.client.post(SCHEDULES, json=given | GOOD).status_code == 201

    def change(**given: Any) -> Any:
        return api.client.patch(f"{SCHEDULES}/s", json=given)

    assert refused(change(payload={})) == ["$.payload.amount"]
    assert change(cron="0 9 * * *").status_code == 200
    assert change(payload={"amount": 2}).status_code == 200
    assert change(type="other").status_code == 200
    assert change(type="pay").status_code == 200, "what is encrypted is not opened for this"

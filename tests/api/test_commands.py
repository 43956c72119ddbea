"""POST cancel and retry."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.ids import new_id

from .conftest import Api, Core, problem, until


def post(api: Api, id: str, verb: str, **kw: Any) -> Any:
    return api.client.post(f"/api/v1/jobs/{id}/{verb}", **kw)


async def test_a_waiting_job_is_cancelled_at_once(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    response = post(api, id, "cancel", json={"actor": "ada", "reason": "a mistake"})
    assert response.status_code == 200
    assert response.json() == {"id": id, "state": "cancelled", "outcome": "cancelled"}
    assert await core.claim() == []
    assert api.job(id, wait=60)["state"] == "cancelled"
    last = api.get(f"/jobs/{id}/events")["items"][-1]
    assert (last["type"], last["body"]) == (
        "job.cancelled",
        {"actor": "ada", "reason": "a mistake"},
    )
    assert post(api, id, "cancel").json()["outcome"] == "cancelled"


async def test_a_running_job_is_asked_to_stop(api: Api, core: Core) -> None:
    id = api.submit()
    await core.claim()
    found = post(api, id, "cancel").json()
    assert found == {"id": id, "state": "running", "outcome": "requested"}
    assert post(api, id, "cancel").json()["outcome"] == "pending"


async def test_an_ended_job_cannot_be_cancelled(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    await core.succeed(lease)
    assert "succeeded" in problem(post(api, id, "cancel"), 409, "conflict")["detail"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_job_that_never_was(api: Api, projector: None, verb: str) -> None:
    api.submit()
    problem(post(api, new_id("default"), verb), 404, "not-found")
    problem(post(api, new_id("elsewhere"), verb), 404, "not-found")


async def test_a_failed_job_runs_again(api: Api, core: Core, projector: None) -> None:
    id = api.submit(payload={"n": 1}, priority=2)
    (lease,) = await core.claim()
    await core.fail(lease)
    response = post(api, id, "retry", json={"actor": "ada", "reason": "fixed"})
    assert response.status_code == 200, response.text
    assert response.json() == {"id": id, "state": "queued", "outcome": "queued"}
    (again,) = await core.claim()
    assert (again.id, again.attempt, again.decode().payload.decode()) == (id, 1, {"n": 1})
    await core.succeed(again)
    until(lambda: api.job(id)["state"] == "succeeded")
    types = [event["type"] for event in api.get(f"/jobs/{id}/events")["items"]]
    assert types[-3:] == ["job.redriven", "job.started", "job.succeeded"]
    problem(post(api, id, "retry"), 409, "conflict")


async def test_a_cancelled_job_runs_again(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    post(api, id, "cancel")
    assert post(api, id, "retry").json()["outcome"] == "queued"
    problem(post(api, id, "retry"), 409, "conflict")
    assert len(await core.claim()) == 1


async def test_a_live_job_is_not_run_twice(api: Api, core: Core) -> None:
    id = api.submit()
    problem(post(api, id, "retry"), 409, "conflict")
    await core.claim()
    problem(post(api, id, "retry"), 409, "conflict")


@pytest.mark.parametrize("verb", ["cancel", "retry"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"actor":5}', 400),
        (b'{"who":"x"}', 400),
        (b"{", 400),
        (b'{"actor":"a","actor":"b"}', 400),
        (b"[]", 400),
        (b'{"reason":"' + b"x" * 2001 + b'"}', 400),
    ],
)
def test_bad_bodies(shared: Api, verb: str, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"}
    id = shared.submit(delay=60)
    problem(post(shared, id, verb, content=body, headers=headers), status)
    problem(post(shared, id, verb, content=b"a=b"), 415)
    problem(post(shared, id, f"{verb}?force=1"), 400)
    assert shared.job(id)["version"] == 1

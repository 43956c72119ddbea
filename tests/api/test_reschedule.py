"""POST reschedule: another time for a waiting job, or now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millstream.core.ids import new_id

from .conftest import Api, Core, problem, until


def reschedule(api: Api, id: str, **body: Any) -> Any:
    return api.client.post(f"/api/v1/jobs/{id}/reschedule", json=body)


def later(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


async def test_a_scheduled_job_gets_another_time(api: Api, projector: None) -> None:
    id = api.submit(delay=60)
    at = later(hours=2)
    response = reschedule(api, id, run_at=at, actor="ada", reason="after the fair")
    assert response.status_code == 200, response.text
    assert response.json() == {"id": id, "state": "scheduled", "outcome": "rescheduled"}
    found = until(lambda: (job := api.job(id))["version"] == 2 and job["position"] and job)
    assert found["state"] == "scheduled"
    told = datetime.fromisoformat(found["run_at"]) - datetime.fromisoformat(at)
    assert abs(told.total_seconds()) < 0.002
    body = api.get(f"/jobs/{id}/events")["items"][-1]["body"]
    assert (body["actor"], body["reason"]) == ("ada", "after the fair")


async def test_run_now(api: Api, core: Core) -> None:
    id = api.submit(delay=3600)
    expected = {"id": id, "state": "queued", "outcome": "queued"}
    reschedule(api, id, delay=60)
    assert (api.job(id)["state"], api.job(id)["run_at"]) == ("scheduled", None)
    assert reschedule(api, id, delay=0).json() == expected
    again = {"id": id, "state": "queued", "outcome": "ready"}
    assert reschedule(api, id, delay=0).json() == again
    assert [lease.id for lease in await core.claim()] == [id]


async def test_a_job_that_does_not_wait(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    assert "running" in problem(reschedule(api, id, delay=5), 409, "conflict")["detail"]
    await core.succeed(lease)
    assert "succeeded" in problem(reschedule(api, id, delay=5), 409, "conflict")["detail"]
    problem(reschedule(api, new_id("default"), delay=5), 404, "not-found")
    problem(reschedule(api, new_id("elsewhere"), delay=5), 404, "not-found")
    problem(reschedule(api, "nobody", delay=5), 404, "not-found")


def test_not_to_after_its_expiry(api: Api) -> None:
    id = api.submit(delay=1, expires_at=later(hours=1))
    for body, path in (({"delay": 7200}, "$.delay"), ({"run_at": later(hours=2)}, "$.run_at")):
        found = problem(reschedule(api, id, **body), 422, "unacceptable-value")
        assert found["errors"][0]["path"] == path
    assert api.job(id)["version"] == 1


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({}, 422, "$.run_at"),
        ({"delay": 5, "run_at": "2099-01-01T00:00:00Z"}, 422, "$.delay"),
        ({"delay": -1}, 400, "$.delay"),
        ({"delay": "soon"}, 400, "$.delay"),
        ({"delay": 400 * 86400}, 400, "$.delay"),
        ({"run_at": "2099-01-01T00:00:00Z"}, 422, "$.run_at"),
        ({"run_at": "2001-01-01T00:00:00Z"}, 422, "$.run_at"),
        ({"run_at": "2099-01-01T00:00:00"}, 400, "$.run_at"),
        ({"run_at": "tomorrow"}, 400, "$.run_at"),
        ({"delay": 5, "at": 1}, 400, "$.at"),
        ({"delay": 5, "actor": 7}, 400, "$.actor"),
    ],
)
def test_bad_bodies(shared: Api, body: dict[str, Any], status: int, path: str) -> None:
    id = shared.submit(delay=60)
    found = problem(reschedule(shared, id, **body), status)
    assert [fault["path"] for fault in found["errors"]] == [path]
    assert shared.job(id)["version"] == 1


def test_a_body_is_needed(shared: Api) -> None:
    id = shared.submit(delay=60)
    found = problem(shared.client.post(f"/api/v1/jobs/{id}/reschedule"), 422)
    assert found["errors"][0]["path"] == "$.run_at"
    problem(shared.client.post(f"/api/v1/jobs/{id}/reschedule?now=1", json={"delay": 0}), 400)

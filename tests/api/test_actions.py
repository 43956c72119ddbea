"""POST /jobs/actions: many jobs at once, by the filters of the list."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from millstream.api import acting
from millstream.core.embedded import Valkey

from .conftest import Api, Core, problem, until


def act(api: Api, action: str, filter: dict[str, Any], **more: Any) -> Any:
    body = {"action": action, "filter": filter, **more}
    response = api.client.post("/api/v1/jobs/actions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def submit_many(api: Api, count: int, **fields: Any) -> list[str]:
    jobs = [{"type": "a.job", **fields}] * count
    response = api.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert response.status_code == 201, response.text
    return [item["id"] for item in response.json()["items"]]


async def failed(api: Api, core: Core, count: int, **fields: Any) -> list[str]:
    ids = submit_many(api, count, **fields)
    for lease in await core.claim(limit=count):
        await core.fail(lease, f"boom {lease.id}")
    until(lambda: api.get("/jobs/stats/summary")["by_state"]["failed"] >= count)
    return ids


async def test_cancel_waiting_and_running_jobs(api: Api, core: Core, projector: None) -> None:
    submit_many(api, 3, tags=["x"])
    (running,) = await core.claim(limit=1)
    submit_many(api, 2, tags=["x"], delay=60, queue="other")
    kept = api.submit(tags=["y"])
    found = act(api, "cancel", {"tag": "x"}, actor="ada", reason="a loop")
    assert found == {
        "action": "cancel", "dry_run": False, "matched": 5, "changed": 5,
        "outcomes": {"cancelled": 4, "requested": 1}, "skipped": {}, "next_cursor": None,
    }  # fmt: skip
    assert [lease.id for lease in await core.claim()] == [kept]
    cancelled = [one for one in await core.events() if one.type == "job.cancelled"]
    assert {one.body for one in cancelled} == {b'{"actor":"ada","reason":"a loop"}'}
    again = act(api, "cancel", {"tag": "x"})
    assert (again["changed"], again["skipped"]) == (0, {"pending": 1})
    assert running


async def test_a_dry_run_does_nothing(api: Api, core: Core, projector: None) -> None:
    submit_many(api, 7)
    before = await core.events()
    found = act(api, "cancel", {"type": "a.job", "state": ["queued"]}, dry_run=True)
    assert (found["matched"], found["changed"], found["dry_run"]) == (7, 0, True)
    assert await core.events() == before


async def test_retry_reads_specs_in_batches(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "SPECS_AT_ONCE", 3)
    monkeypatch.setattr(acting, "CALL_BYTES", 100)
    ids = await failed(api, core, 8, payload={"n": 2**60})
    found = act(api, "retry", {"error": "BOOM", "type": "a.job"})
    assert found["outcomes"] == {"queued": 8}
    leases = await core.claim()
    assert [lease.id for lease in leases] == sorted(ids)
    assert {lease.decode().payload.decode()["n"] for lease in leases} == {2**60}


async def test_retry_means_failed_jobs_unless_told_otherwise(
    api: Api, core: Core, projector: None
) -> None:
    submit_many(api, 2)
    act(api, "cancel", {"type": "a.job"})
    await failed(api, core, 3)
    assert act(api, "retry", {"queue": "default"}, dry_run=True)["matched"] == 3
    filter = {"state": ["failed", "cancelled"]}
    until(lambda: act(api, "retry", filter, dry_run=True)["matched"] == 5)
    assert act(api, "retry", filter)["changed"] == 5


async def test_retry_into_a_draining_queue_is_skipped(
    api: Api, core: Core, projector: None
) -> None:
    await failed(api, core, 2)
    api.client.post("/api/v1/queues/default/drain")
    found = act(api, "retry", {"state": "failed"})
    assert (found["changed"], found["skipped"]) == (0, {"draining": 2})


async def test_a_job_whose_spec_is_gone_is_skipped(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await failed(api, core, 3)

    async def without_one(_pool: Any, jobs: Any) -> dict[str, bytes]:
        return {job: b'{"type":"a.job"}' for job in jobs if job != ids[1]}

    monkeypatch.setattr("millstream.projections.targets.specs", without_one)
    found = act(api, "retry", {"type": "a.job"})
    assert (found["outcomes"], found["skipped"]) == ({"queued": 2}, {"unknown": 1})
    assert {lease.id for lease in await core.claim()} == {ids[0], ids[2]}


async def test_reschedule(api: Api, core: Core, projector: None) -> None:
    later = submit_many(api, 3, delay=3600)
    now = api.submit()
    assert act(api, "reschedule", {"state": "scheduled"}, delay=0)["outcomes"] == {"queued": 3}
    found = act(api, "reschedule", {"queue": "default"}, delay=0)
    assert (found["changed"], found["skipped"]) == (0, {"ready": 4})
    assert {lease.id for lease in await core.claim()} == {*later, now}


async def test_jobs_that_changed_meanwhile_are_told_by_outcome(
    api: Api, core: Core, projector: None
) -> None:
    ids = await failed(api, core, 4)
    until(lambda: all(api.job(id)["state"] == "failed" for id in ids))
    results: list[Any] = []

    def press() -> None:
        body = {"action": "retry", "filter": {"state": "failed"}}
        response = api.client.post("/api/v1/jobs/actions", json=body)
        results.append(response.json())

    pressing = [threading.Thread(target=press) for _ in range(2)]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()
    assert sum(one["changed"] for one in results) == 4
    assert all(set(one["skipped"]) <= {"live", "stale"} for one in results)
    redriven = [one for one in await core.events() if one.type == "job.redriven"]
    assert len(redriven) == 4


async def test_over_more_queues_than_connections(api: Api, core: Core, projector: None) -> None:
    jobs = [{"type": "a.job", "queue": f"q{number}"} for number in range(90)]
    assert api.client.post("/api/v1/jobs/batch", json={"jobs": jobs}).status_code == 201
    assert act(api, "cancel", {"type": "a.job"})["changed"] == 90


async def test_a_bounded_request_tells_where_to_go_on(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PAGE", 2)
    submit_many(api, 7, delay=60)
    first = act(api, "cancel", {"type": "a.job"}, limit=3)
    assert (first["matched"], first["changed"]) == (3, 3)
    rest = act(api, "cancel", {"type": "a.job"}, cursor=first["next_cursor"])
    assert (rest["matched"], rest["changed"], rest["next_cursor"]) == (4, 4, None)


async def test_redis_lost_on_the_way(
    api: Api,
    core: Core,
    projector: None,
    valkey_server: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = submit_many(api, 4)
    until(lambda: api.get("/jobs/stats/summary")["by_state"]["queued"] == 4)
    verb, calls = acting.cancelling, 0

    def failing(*args: Any) -> acting.Apply:
        apply = verb(*args)

        async def once(queue: str, targets: Any) -> list[str]:
            nonlocal calls
            calls += 1
            if calls == 2:
                valkey_server.kill()
            return await apply(queue, targets)

        return once

    monkeypatch.setattr(acting, "cancelling", failing)
    monkeypatch.setattr(acting, "PAGE", 3)
    body = {"action": "cancel", "filter": {"type": "a.job"}}
    found = problem(api.client.post("/api/v1/jobs/actions", json=body), 503, "redis-unavailable")
    assert found["changed"] == 3
    valkey_server.start()
    monkeypatch.setattr(acting, "cancelling", verb)
    rest = until(
        lambda: (r := api.client.post(
            "/api/v1/jobs/actions", json=body | {"cursor": found["next_cursor"]}
        )).status_code == 200 and r.json()
    )  # fmt: skip
    assert (rest["matched"], rest["changed"]) == (1, 1)
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"action": "cancel"}, 400, "$.filter"),
        ({"filter": {"type": "a"}}, 400, "$.action"),
        ({"action": "delete", "filter": {"type": "a"}}, 400, "$.action"),
        ({"action": "cancel", "filter": {}}, 422, "$.filter"),
        ({"action": "cancel", "filter": {"typ": "a"}}, 400, "$.filter.typ"),
        ({"action": "cancel", "filter": {"state": "asleep"}}, 400, "$.filter.state"),
        ({"action": "cancel", "filter": {"state": []}}, 400, "$.filter.state"),
        ({"action": "cancel", "filter": {"state": "failed"}}, 422, "$.filter.state"),
        ({"action": "retry", "filter": {"state": ["failed", "queued"]}}, 422, "$.filter.state[1]"),
        ({"action": "reschedule", "filter": {"state": "running"}, "delay": 1}, 422,
         "$.filter.state"),
        ({"action": "reschedule", "filter": {"type": "a"}}, 422, "$.run_at"),
        ({"action": "reschedule", "filter": {"type": "a"}, "delay": -1}, 400, "$.delay"),
        ({"action": "cancel", "filter": {"type": "a"}, "delay": 0}, 422, "$.delay"),
        ({"action": "cancel", "filter": {"created_after": "today"}}, 400, "$.filter.created_after"),
        ({"action": "cancel", "filter": {"type": "a"}, "limit": 0}, 400, "$.limit"),
        ({"action": "cancel", "filter": {"type": "a"}, "limit": 10_001}, 400, "$.limit"),
        ({"action": "cancel", "filter": {"type": "a"}, "cursor": "x"}, 400, "$.cursor"),
        ({"action": "cancel", "filter": {"type": "a"}, "dry": True}, 400, "$.dry"),
    ],
)  # fmt: skip
def test_bad_bodies(
    shared: Api, nothing_done: None, body: dict[str, Any], status: int, path: str
) -> None:
    found = problem(shared.client.post("/api/v1/jobs/actions", json=body), status)
    assert [fault["path"] for fault in found["errors"]] == [path]


def test_bad_requests(shared: Api, nothing_done: None) -> None:
    good = {"action": "cancel", "filter": {"type": "a"}}
    address = "/api/v1/jobs/actions"
    problem(shared.client.post(address), 415)
    headers = {"content-type": "application/json"}
    problem(shared.client.post(address, headers=headers), 400, "not-json")
    problem(shared.client.post(f"{address}?dry_run=1", json=good), 400)
    headers = {"origin": "http://elsewhere.example"}
    problem(shared.client.post(address, json=good, headers=headers), 403)

"""Flows over HTTP: how they are said, what they wait for, and how they stand."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.events import JobSubmitted
from millstream.core.ids import new_id
from millstream.core.queue import new_job
from millstream.projections import linker
from tests.invariants import check

from .conftest import Api, Core, problem, running, until
from .flowing import audit, ids_of, job, post, work


async def test_jobs_that_name_each_other_run_in_order(api: Api, core: Core) -> None:
    answer = post(api, jobs=[job("d", "b", "c"), job("b", "a"), job("c", "a"), job("a")])
    ids = ids_of(answer)
    assert answer["id"] == ids["d"]
    assert [item["state"] for item in answer["items"]] == [
        "blocked",
        "blocked",
        "blocked",
        "queued",
    ]
    ran = await work(core)
    assert ran[0] == ids["a"]
    assert ran[3] == ids["d"]
    await audit(api)


async def test_a_chain_crosses_queues(api: Api, core: Core) -> None:
    answer = post(api, chain=[job(queue="one"), job(queue="two"), job(queue="three")])
    ran = await work(core, "one", "two", "three")
    assert ran == [item["id"] for item in answer["items"]]
    await audit(api, "one", "two", "three")


async def test_a_batch_is_followed_by_one_job(api: Api, core: Core) -> None:
    answer = post(api, batch=[job(queue=f"q{n % 3}") for n in range(300)], then=job(queue="last"))
    last = answer["items"][-1]
    assert answer["id"] == last["id"]
    ran = await work(core, "q0", "q1", "q2", "last")
    assert len(ran) == 301
    assert ran[-1] == last["id"]
    await audit(api, "q0", "q1", "q2", "last")


async def test_an_open_batch_is_added_to_until_it_is_closed(
    api: Api, core: Core, projector: None
) -> None:
    flow = post(api, batch=[], then=job(), open=True)["id"]
    for _ in range(3):
        items = post(api, path=f"/flows/{flow}/jobs", jobs=[job(), job()])["items"]
        assert len(await work(core)) == 2
        assert all(item["state"] == "queued" for item in items)
    items = post(api, path=f"/flows/{flow}/jobs", jobs=[job()], close=True)["items"]
    assert await work(core) == [items[0]["id"], flow]
    problem(api.client.post(f"/api/v1/flows/{flow}/close"), 409, "conflict")
    await audit(api)


async def test_an_open_batch_may_be_closed_empty(api: Api, core: Core, projector: None) -> None:
    flow = post(api, batch=[], then=job(), open=True)["id"]
    assert await work(core) == []
    assert post(api, 200, path=f"/flows/{flow}/close", actor="ada")["total"] == 1
    assert await work(core) == [flow]
    answer = api.client.post(f"/api/v1/flows/{flow}/jobs", json={"jobs": [job()]})
    problem(answer, 409, "conflict")


async def test_jobs_may_wait_for_some_that_were_there_before(
    api: Api, core: Core, projector: None
) -> None:
    over, live = api.submit(), api.submit(queue="other")
    assert await work(core) == [over]
    child = api.submit(depends_on=[over, live])
    assert api.job(child)["state"] == "blocked"
    assert await work(core) == []
    assert await work(core, "other", "default") == [live, child]
    answer = post(api, path="/jobs/batch", jobs=[job(None, over), job(None, child)])
    assert len(await work(core)) == 2, answer
    await audit(api, "default", "other")


async def test_a_parent_that_failed_before_has_its_way_at_once(
    api: Api, core: Core, projector: None
) -> None:
    parent = api.submit()
    await work(core, fail=(parent,))
    found = {
        policy: api.submit(depends_on=[parent], on_parent_failure=policy)
        for policy in ("fail", "cancel", "run", "wait")
    }
    assert await work(core) == [found["run"]]
    until(lambda: api.job(found["fail"])["state"] == "failed")
    failed = api.job(found["fail"])
    assert parent in failed["error"]["message"]
    assert failed["error"]["type"] == "parent_failed"
    until(lambda: api.job(found["cancel"])["state"] == "cancelled")
    assert api.job(found["wait"])["blocked_on"] == "jobs"
    assert api.client.post(f"/api/v1/jobs/{parent}/retry").status_code == 200
    assert await work(core) == [parent, found["wait"]]
    await audit(api)


async def test_cancelling_a_parent_is_told_by_the_api_itself(
    api: Api, core: Core, projector: None
) -> None:
    ids = ids_of(post(api, jobs=[job("a"), job("b", "a"), job("c", "b")]))
    assert api.client.post(f"/api/v1/jobs/{ids['a']}/cancel").status_code == 200
    until(lambda: api.job(ids["c"])["state"] == "failed")
    await audit(api)


async def test_how_a_flow_stands_and_its_graph(api: Api, core: Core, projector: None) -> None:
    other = api.submit()
    answer = post(api, jobs=[job("a"), job("b", "a"), job("c", "a", other, queue="q2")])
    flow, ids = answer["id"], ids_of(answer)
    found = until(lambda: (seen := api.get(f"/flows/{flow}"))["total"] == 3 and seen)
    assert found["state"] == "running"
    assert found["by_state"]["blocked"] == 2
    await work(core, "default", "q2")
    done = until(lambda: (seen := api.get(f"/flows/{flow}"))["state"] == "succeeded" and seen)
    assert done["by_state"]["succeeded"] == 3
    nodes, cursor = [], {}
    while cursor is not None:
        page = api.get(f"/flows/{flow}/jobs", limit=2, **cursor)
        nodes += page["items"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert {(one["id"], one["queue"], one["state"]) for one in nodes} == {
        (ids["a"], "default", "succeeded"),
        (ids["b"], "default", "succeeded"),
        (ids["c"], "q2", "succeeded"),
    }
    edges, cursor = [], {}
    while cursor is not None:
        page = api.get(f"/flows/{flow}/edges", limit=1, **cursor)
        edges += page["items"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert {(one["parent"], one["dependent"]) for one in edges} == {
        (ids["a"], ids["b"]),
        (ids["a"], ids["c"]),
        (other, ids["c"]),
    }
    assert [one["id"] for one in api.get("/flows")["items"]] == [flow]
    assert {one["id"] for one in api.get("/jobs", flow=flow)["items"]} == set(ids.values())
    settings = api.app.state.settings
    report = await check(
        settings.redis_url, ["default", "q2"], dsn=settings.postgres_dsn, drained=True
    )
    report.require()


async def test_a_flow_is_cancelled_whole(api: Api, core: Core, projector: None) -> None:
    answer = post(api, batch=[job() for _ in range(5)], then=job(queue="last"))
    (running,) = await core.claim(limit=1)
    done = post(api, 200, path=f"/flows/{answer['id']}/cancel", actor="ada")
    assert done == {"cancelled": 5, "requested": 1, "more": False}
    await core.finish(running, "cancelled")
    until(lambda: api.get(f"/flows/{answer['id']}")["state"] == "cancelled")
    await work(core, "default", "last")
    await audit(api, "default", "last")


async def test_a_request_sent_again_is_the_same_flow(api: Api, core: Core, projector: None) -> None:
    body = {"batch": [job(), job(queue="two")], "then": job(queue="three")}
    first = api.client.post("/api/v1/flows", json=body, headers={"Idempotency-Key": "k1"})
    again = api.client.post("/api/v1/flows", json=body, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert [one["id"] for one in first.json()["items"]] == [
        one["id"] for one in again.json()["items"]
    ]
    assert len(await work(core, "default", "two", "three")) == 3
    again = api.client.post("/api/v1/flows", json=body, headers={"Idempotency-Key": "k1"})
    assert again.status_code == 200
    assert await work(core, "default", "two", "three") == []
    await audit(api, "default", "two", "three")


async def test_what_was_lost_with_a_server_is_found_out(
    settings: Settings, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits is not known to its parent any more, or was not told, or its parent never was."""
    monkeypatch.setattr(linker, "LONG_MS", 0)
    monkeypatch.setattr(linker, "SWEEP", 0.1)
    with running(settings) as api:
        flows = [ids_of(post(api, jobs=[job("a", queue="p"), job("b", "a")])) for _ in range(3)]
        unknown, untold, orphan = flows
        await core.redis.delete(core.keys.awaited("p", unknown["a"]))
        until(lambda: _members(settings, core.keys.awaited("p", unknown["a"])))
        leases = {lease.id: lease for lease in await core.claim("p")}
        await core.redis.delete(core.keys.awaited("p", untold["a"]))
        await core.succeed(leases[untold["a"]])
        until(lambda: api.job(untold["b"])["state"] == "queued")
        never = new_id("p")
        await core.redis.sadd(core.keys.parents("default", orphan["b"]), never)
        until(lambda: api.job(orphan["b"])["state"] == "failed")
        found = api.job(orphan["b"])["error"]
        assert found["type"] == "parent_missing"
        assert never in found["message"]


async def test_what_could_not_be_found_out_for_want_of_tables_is_looked_at_again(
    settings: Settings,
    core: Core,
    projector: None,
    postgres_server: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linker, "LOOK_MS", 200)
    monkeypatch.setattr(linker, "SWEEP", 0.1)
    with running(settings) as api:
        parent = api.submit()
        await work(core)
        until(lambda: api.job(parent)["state"] == "succeeded")
        postgres_server.kill()
        try:  # as a handler submits it, which has no tables to look into
            spec = JobSubmitted("a.job", depends_on=[parent])
            child = new_job(new_id("default"), spec)._replace(ended={parent: "?"})
            await core.directory.link("default")
            await core.directory.queue("default").submit([child])
            until(lambda: _score(settings, "{ms:default}:dependents", child.id))
        finally:
            postgres_server.start()
        until(lambda: api.job(child.id)["state"] == "queued")
    assert await work(core) == [child.id]


def _score(settings: Settings, key: str, member: str) -> float | None:
    with redis.Redis.from_url(settings.redis_url) as client:
        return client.zscore(key, member)


def _members(settings: Settings, key: str) -> Any:
    with redis.Redis.from_url(settings.redis_url) as client:
        return client.smembers(key)

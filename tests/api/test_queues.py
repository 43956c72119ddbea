"""/queues: how they stand, and what is done to a whole queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millstream.core.embedded import Postgres
from millstream.core.events import WorkerStarted

from .conftest import Api, Core, problem, until

BY = {"actor": "ada", "reason": "the mail server is down"}


def post(api: Api, path: str, body: Any = None) -> Any:
    return api.client.post(f"/api/v1/queues/{path}", json=BY if body is None else body)


async def last_event(core: Core, queue: str = "default") -> tuple[str, bytes]:
    record = (await core.events(queue))[-1]
    return record.type, record.body


async def test_a_queue_as_it_stands(api: Api, core: Core, projector: None) -> None:
    api.submit(queue="emails")
    api.submit(queue="emails")
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="milliseconds")
    api.submit(queue="emails", run_at=at)
    await core.claim("emails", 1)
    worker = WorkerStarted("w1", ["email.send"])
    await core.directory.queue("emails").announce(worker, {"email.send": {}, "a.job": {}})
    found = until(
        lambda: (
            (q := api.get("/queues/emails"))["by_state"]["running"] == 1
            and q["by_state"]["scheduled"] == 1
            and q
        )
    )
    assert found == {
        "name": "emails",
        "mode": "open",
        "by_state": {
            "scheduled": 1, "queued": 1, "blocked": 0, "running": 1, "retrying": 0,
            "succeeded": 0, "failed": 0, "cancelled": 0,
        },
        "oldest_wait": found["oldest_wait"],
        "next_due_at": at.replace("+00:00", "Z"),
        "types": ["a.job", "email.send"],
        "limits": {},
    }  # fmt: skip
    assert 0 <= found["oldest_wait"] < 60


def test_the_list_goes_page_by_page(api: Api) -> None:
    for name in ("c", "a", "b"):
        api.submit(queue=name)
    first = api.get("/queues", limit=2)
    assert [queue["name"] for queue in first["items"]] == ["a", "b"]
    second = api.get("/queues", limit=2, cursor=first["next_cursor"])
    assert [queue["name"] for queue in second["items"]] == ["c"]
    assert second["next_cursor"] is None
    assert first["items"][0]["next_due_at"] is None


async def test_more_queues_than_connections(api: Api, core: Core) -> None:
    for number in range(150):
        await core.directory.register(f"queue-{number:03}")
    found = api.get("/queues", limit=150)
    assert [queue["name"] for queue in found["items"]] == [f"queue-{n:03}" for n in range(150)]


async def test_a_queue_whose_log_is_lost_does_not_hide_the_others(api: Api, core: Core) -> None:
    for name in ("a", "b"):
        api.submit(queue=name)
    await core.redis.delete(core.keys.log("a"))
    assert [queue["name"] for queue in api.get("/queues")["items"]] == ["a", "b"]
    problem(post(api, "a/pause"), 503, "log-lost")


def test_a_queue_that_never_was(api: Api) -> None:
    problem(api.client.get("/api/v1/queues/ghost"), 404, "not-found")
    problem(api.client.get("/api/v1/queues/No%20Name"), 404, "not-found")
    for verb in ("pause", "resume", "drain", "purge"):
        found = problem(post(api, f"ghost/{verb}"), 404, "not-found")
        assert found["errors"][0] == {
            "path": "$.queue",
            "message": "expected the name of a queue that was used before",
            "in": "path",
        }
    assert api.get("/queues")["items"] == []


async def test_pause_and_resume(api: Api, core: Core) -> None:
    id = api.submit()
    assert post(api, "default/pause").json() == {
        "name": "default", "mode": "paused", "changed": True,
    }  # fmt: skip
    assert await last_event(core) == (
        "queue.paused", b'{"actor":"ada","reason":"the mail server is down"}',
    )  # fmt: skip
    assert api.get("/queues/default")["mode"] == "paused"
    assert not post(api, "default/pause").json()["changed"]
    assert await core.claim() == []
    other = api.submit()
    assert post(api, "default/resume", {}).json() == {
        "name": "default", "mode": "open", "changed": True,
    }  # fmt: skip
    assert await last_event(core) == ("queue.resumed", b"{}")
    assert [lease.id for lease in await core.claim()] == [id, other]


async def test_a_draining_queue_refuses_jobs_by_name(api: Api, core: Core) -> None:
    id = api.submit(queue="emails")
    assert api.client.post("/api/v1/queues/emails/drain").json()["mode"] == "draining"
    found = problem(
        api.client.post("/api/v1/jobs", json={"type": "a.job", "queue": "emails"}),
        409,
        "queue-draining",
    )
    assert found["detail"] == "Queue emails takes no jobs until it is resumed."
    assert [lease.id for lease in await core.claim("emails")] == [id]
    post(api, "emails/resume")
    assert api.submit(queue="emails")


async def test_a_batch_with_jobs_for_a_draining_queue_is_refused_whole(
    api: Api, core: Core
) -> None:
    for queue in ("a", "b"):
        api.submit(queue=queue)
    post(api, "b/drain")
    jobs = [{"type": "a.job", "queue": queue} for queue in ("a", "b", "a")]
    found = problem(
        api.client.post("/api/v1/jobs/batch", json={"jobs": jobs}), 409, "queue-draining"
    )
    assert "items" not in found
    assert len(await core.events("a")) == 1
    problem(api.client.post("/api/v1/jobs/batch", json={"jobs": jobs[1:2]}), 409)


async def test_no_job_is_retried_into_a_draining_queue(
    api: Api, core: Core, projector: None
) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    await core.fail(lease)
    until(lambda: api.job(id)["state"] == "failed")
    post(api, "default/drain")
    problem(api.client.post(f"/api/v1/jobs/{id}/retry"), 409, "queue-draining")
    post(api, "default/resume")
    assert api.client.post(f"/api/v1/jobs/{id}/retry").status_code == 200


async def test_purge(api: Api, core: Core) -> None:
    running = api.submit()
    await core.claim()
    for delay in (0, 0, 60):
        api.submit(delay=delay)
    dry = post(api, "default/purge", {"dry_run": True}).json()
    assert dry == {
        "name": "default", "dry_run": True, "matched": 3, "cancelled": 0, "next_cursor": None,
    }  # fmt: skip
    scheduled = post(api, "default/purge", {"states": ["scheduled"], "dry_run": True}).json()
    assert scheduled["matched"] == 1
    done = post(api, "default/purge", BY | {"states": ["queued"]}).json()
    assert done == {
        "name": "default", "dry_run": False, "matched": 2, "cancelled": 2, "next_cursor": None,
    }  # fmt: skip
    assert await last_event(core) == (
        "queue.purged", b'{"actor":"ada","reason":"the mail server is down","count":2}',
    )  # fmt: skip
    assert api.client.post("/api/v1/queues/default/purge").json()["cancelled"] == 1
    assert api.job(running)["state"] == "queued"  # as hot state has it: claimed, not projected
    assert await core.claim() == []


async def test_a_long_purge_is_several_requests(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.api.queues.PURGE_MOST", 1000)
    jobs = [{"type": "a.job"}] * 2500
    assert api.client.post("/api/v1/jobs/batch", json={"jobs": jobs}).status_code == 201
    counts: list[int] = []
    cursor = None
    while not counts or cursor:
        found = post(api, "default/purge", {"cursor": cursor}).json()
        cursor = found["next_cursor"]
        counts.append(found["cancelled"])
    assert counts == [1000, 1000, 500]


async def test_queues_are_paused_and_purged_while_the_tables_are_down(
    api: Api, core: Core, postgres_server: Postgres
) -> None:
    api.submit()
    postgres_server.stop()
    assert post(api, "default/pause").json()["changed"]
    assert post(api, "default/purge").json()["cancelled"] == 1
    problem(api.client.get("/api/v1/queues"), 503, "postgresql-unavailable")
    body = {"action": "cancel", "filter": {"type": "a.job"}}
    response = api.client.post("/api/v1/jobs/actions", json=body)
    assert "changed" not in problem(response, 503, "postgresql-unavailable")


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "purge"])
@pytest.mark.parametrize(
    ("body", "path"),
    [({"actor": 5}, "$.actor"), ({"who": "x"}, "$.who"), ({"reason": "x" * 2001}, "$.reason")],
)
def test_bad_bodies(shared: Api, verb: str, body: Any, path: str) -> None:
    shared.submit(delay=60)
    found = problem(post(shared, f"default/{verb}", body), 400)
    assert found["errors"][0]["path"] == path
    problem(shared.client.post(f"/api/v1/queues/default/{verb}?now=1"), 400)
    problem(shared.client.post(f"/api/v1/queues/default/{verb}", content=b"a=b"), 415)
    headers = {"origin": "http://elsewhere.example"}
    problem(shared.client.post(f"/api/v1/queues/default/{verb}", headers=headers), 403)
    assert shared.get("/queues/default")["mode"] == "open"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"states": []}, "$.states"),
        ({"states": ["running"]}, "$.states[0]"),
        ({"states": "queued"}, "$.states"),
        ({"dry_run": "yes"}, "$.dry_run"),
        ({"cursor": "due:x"}, "$.cursor"),
        ({"cursor": "due:99999999999999999999"}, "$.cursor"),
        ({"cursor": 5}, "$.cursor"),
    ],
)
def test_bad_purges(shared: Api, body: Any, path: str) -> None:
    shared.submit(delay=60)
    found = problem(post(shared, "default/purge", body), 400)
    assert found["errors"][0]["path"] == path


def test_bad_parameters(shared: Api) -> None:
    for query in ("limit=0", "limit=501", "mode=paused", "cursor="):
        problem(shared.client.get(f"/api/v1/queues?{query}"), 400)
    problem(shared.client.get("/api/v1/queues/default?x=1"), 400)

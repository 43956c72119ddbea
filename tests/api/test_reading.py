"""GET of jobs, lists and histories: read-your-writes, long polls, filters, pages."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from millstream.api.tables import Tables
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.ids import new_id

from .conftest import Api, Core, problem, projecting, running, until

FIELDS = [
    "id", "queue", "type", "state", "priority", "attempt", "max_attempts", "crashes", "payload",
    "result", "error", "progress", "submitted_at", "run_at", "started_at", "finished_at", "worker",
    "tags", "metadata", "blocked_on", "concurrency_key", "rate_key", "schedule", "occurrence",
    "flow", "on_parent_failure",
    "fingerprint", "discarded", "command", "erased", "version", "position",
]  # fmt: skip


def read_time(text: str) -> datetime:
    assert text.endswith("Z")
    assert len(text) == 24
    return datetime.fromisoformat(text)


def test_a_new_job_is_told_from_hot_state(api: Api) -> None:
    id = api.submit(payload={"a": 1}, priority=3, delay=60, tags=["x"], metadata={"k": "v"})
    job = api.job(id)
    assert list(job) == FIELDS
    assert job["position"] is None
    assert (job["state"], job["version"], job["priority"]) == ("scheduled", 1, 3)
    assert (job["payload"], job["tags"], job["metadata"]) == ({"a": 1}, ["x"], {"k": "v"})
    submitted = read_time(job["submitted_at"])
    assert abs(datetime.now(UTC) - submitted) < timedelta(seconds=10)
    assert read_time(job["run_at"]) == submitted + timedelta(seconds=60)


async def test_a_whole_life_as_the_tables_tell_it(api: Api, core: Core, projector: None) -> None:
    id = api.submit(payload=[1], tags=["x"], metadata={"k": "v"})
    (lease,) = await core.claim()
    await core.succeed(lease, {"sum": 7})
    job = api.job(id, wait=60)
    assert list(job) == FIELDS
    assert (job["state"], job["result"], job["worker"]) == ("succeeded", {"sum": 7}, "tester")
    assert (job["attempt"], job["version"], job["position"]) == (1, 3, "default:1:3")
    times = [read_time(job[name]) for name in ("submitted_at", "started_at", "finished_at")]
    assert times == sorted(times)
    assert (job["tags"], job["metadata"], job["payload"]) == (["x"], {"k": "v"}, [1])


async def test_a_failed_job_tells_why(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    await core.fail(lease, "no such address")
    job = api.job(id, wait=60)
    assert job["state"] == "failed"
    assert job["error"] == {
        "type": "ValueError",
        "message": "no such address",
        "traceback": "line 1",
    }


async def test_a_long_poll_is_answered_when_the_job_ends(
    api: Api, core: Core, projector: None
) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    until(lambda: api.job(id)["state"] == "running")
    found: list[Any] = []
    poll = threading.Thread(target=lambda: found.append(api.job(id, wait=60)))
    poll.start()
    await core.succeed(lease)
    poll.join(45)
    assert found[0]["state"] == "succeeded", "and not only when its time was over"


def test_a_long_poll_ends_in_time(api: Api) -> None:
    id = api.submit()
    started = time.monotonic()
    assert api.job(id, wait=0.3)["state"] == "queued"
    assert time.monotonic() - started >= 0.3


async def test_after_waits_for_the_tables(settings: Settings, core: Core) -> None:
    with running(settings) as api:
        told = api.client.post("/api/v1/jobs", json={"type": "a.job"}).json()
        with projecting(settings):
            job = api.job(told["id"], after=told["position"])
            assert job["position"] == told["position"]


async def test_after_is_kept_by_hot_state_while_nothing_is_projected(
    settings: Settings, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.api.lookup.CATCH_UP", 0.2)
    with running(settings) as api:
        told = api.client.post("/api/v1/jobs", json={"type": "a.job"}).json()
        assert api.job(told["id"], after=told["position"])["state"] == "queued"


async def test_a_job_that_ended_unseen_is_not_told_to_be_missing(
    settings: Settings, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.api.lookup.CATCH_UP", 0.2)
    with running(settings) as api:
        id = api.submit()
        (lease,) = await core.claim()
        await core.succeed(lease)
        path = f"/api/v1/jobs/{id}"
        response = api.client.get(path)
        problem(response, 503, "projection-behind")
        assert response.headers["retry-after"]
        problem(api.client.get(f"{path}/events"), 503, "projection-behind")
        monkeypatch.setattr("millstream.api.lookup.CATCH_UP", 20)
        with projecting(settings):
            assert api.job(id)["state"] == "succeeded"


def test_a_job_that_never_was(api: Api, projector: None) -> None:
    api.submit()
    found = problem(api.client.get(f"/api/v1/jobs/{new_id('default')}"), 404, "not-found")
    assert found["errors"][0]["in"] == "path"


def test_get_right_after_post_is_never_404(api: Api, projector: None) -> None:
    for _ in range(200):
        response = api.client.get(f"/api/v1/jobs/{api.submit()}")
        assert response.status_code == 200


async def test_the_history_of_a_job(api: Api, core: Core, projector: None) -> None:
    id = api.submit(payload=5)
    (lease,) = await core.claim()
    await core.succeed(lease, 6)
    api.job(id, wait=60)
    page = api.get(f"/jobs/{id}/events")
    assert page["next_cursor"] is None
    assert [event["type"] for event in page["items"]] == [
        "job.submitted",
        "job.started",
        "job.succeeded",
    ]
    first = page["items"][0]
    assert list(first) == ["position", "seq", "epoch", "time", "type", "job_id", "version", "body"]
    assert (first["position"], first["seq"], first["epoch"]) == ("default:1:1", 1, 1)
    assert (first["job_id"], first["version"]) == (id, 1)
    assert first["body"]["payload"]["data"] == 5
    read_time(first["time"])
    shown: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        part = api.get(f"/jobs/{id}/events", limit=1, **cursor)
        shown += part["items"]
        if part["next_cursor"] is None:
            break
        cursor = {"cursor": part["next_cursor"]}
    assert shown == page["items"]


def test_the_history_of_a_new_job_waits_for_the_archive(api: Api, projector: None) -> None:
    id = api.submit()
    assert [event["version"] for event in api.get(f"/jobs/{id}/events")["items"]] == [1]


@pytest.mark.parametrize("what", ["events", "attempts"])
async def test_a_job_that_comes_into_the_tables_between_two_looks(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    id = api.submit()
    (lease,) = await core.claim()
    await core.succeed(lease)
    assert api.job(id, wait=60)["state"] == "succeeded"
    real, looks = getattr(Tables, what), list[str]()

    async def too_early_at_first(self: Tables, *args: Any) -> Any:
        looks.append(what)
        return [] if len(looks) == 1 else await real(self, *args)

    monkeypatch.setattr(Tables, what, too_early_at_first)
    assert api.get(f"/jobs/{id}/{what}")["items"]
    assert len(looks) == 2


async def test_the_attempts_at_a_job(api: Api, core: Core, projector: None) -> None:
    id = api.submit()
    assert api.get(f"/jobs/{id}/attempts") == {"items": [], "next_cursor": None}
    (lease,) = await core.claim()
    fault = {"type": "ValueError", "message": "no", "traceback": "line 1"}
    body = msgspec.json.encode({"error": fault, "retry_ms": 0})
    await core.finish(lease, "retry", body)
    (lease,) = await core.claim()
    await core.succeed(lease)
    api.job(id, wait=60)
    first, second = api.get(f"/jobs/{id}/attempts")["items"]
    assert list(first) == [
        "number", "fence", "worker", "started_at", "ended_at", "outcome", "error", "retry_at",
    ]  # fmt: skip
    assert (first["number"], first["fence"], first["worker"]) == (1, 2, "tester")
    assert (first["outcome"], first["error"], first["retry_at"]) == (
        "failed", fault, first["ended_at"],
    )  # fmt: skip
    assert (second["number"], second["outcome"], second["error"]) == (2, "succeeded", None)
    page = api.get(f"/jobs/{id}/attempts", limit=1)
    assert page == {"items": [first], "next_cursor": "2"}
    rest = api.get(f"/jobs/{id}/attempts", limit=1, cursor="2")
    assert rest == {"items": [second], "next_cursor": None}
    problem(api.client.get(f"/api/v1/jobs/{id}/attempts?cursor=x"), 400)
    problem(api.client.get(f"/api/v1/jobs/{new_id('default')}/attempts"), 404, "not-found")


async def test_lists_by_filter(api: Api, core: Core, projector: None) -> None:
    plain = api.submit("a.job")
    tagged = api.submit("b.job", queue="other", tags=["red", "blue"])
    later = api.submit("a.job", delay=60)
    failing = api.submit("c.job", queue="third")
    (lease,) = await core.claim("third")
    await core.fail(lease, "100% wrong")
    api.job(failing, wait=60)
    until(lambda: len(api.get("/jobs")["items"]) == 4)

    def ids(**query: Any) -> list[str]:
        return [job["id"] for job in api.get("/jobs", **query)["items"]]

    assert ids() == [failing, later, tagged, plain]
    assert ids(type="a.job") == [later, plain]
    assert ids(queue="other") == [tagged]
    assert ids(tag="blue") == [tagged]
    assert ids(state="scheduled") == [later]
    assert ids(state="scheduled,failed") == [failing, later]
    assert ids(state=["scheduled", "failed"]) == [failing, later]
    assert ids(error="100% WRONG") == [failing]
    assert ids(error="100_ wrong") == []
    assert ids(state="queued", type="a.job", queue="default") == [plain]
    hour = timedelta(hours=1)
    assert ids(created_after=(datetime.now(UTC) + hour).isoformat()) == []
    assert ids(created_before=(datetime.now(UTC) - hour).isoformat()) == []
    assert len(ids(created_after=(datetime.now(UTC) - hour).isoformat())) == 4


def test_pages_of_a_list(api: Api, projector: None) -> None:
    items = [{"type": "a.job"}] * 25
    told = api.client.post("/api/v1/jobs/batch", json={"jobs": items}).json()["items"]
    api.job(told[-1]["id"], after=told[-1]["position"])
    shown: list[str] = []
    query: dict[str, Any] = {"limit": 10}
    sizes: list[int] = []
    while True:
        page = api.get("/jobs", **query)
        sizes.append(len(page["items"]))
        shown += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sizes == [10, 10, 5]
    assert sorted(shown) == sorted(one["id"] for one in told)
    assert shown == sorted(shown, reverse=True)


async def test_the_summary(api: Api, core: Core, projector: None) -> None:
    ids = [api.submit("a.job") for _ in range(4)]
    leases = await core.claim(limit=4)
    for lease in leases[:3]:
        await core.succeed(lease)
    await core.fail(leases[3])
    api.submit("b.job", queue="other")
    for id in ids:
        api.job(id, wait=60)
    until(lambda: api.get("/jobs/stats/summary")["total"] == 5)
    found = api.get("/jobs/stats/summary")
    assert list(found) == ["by_state", "total", "success_rate", "wait_ms", "run_ms"]
    assert found["by_state"] == {
        "scheduled": 0,
        "queued": 1,
        "blocked": 0,
        "running": 0,
        "retrying": 0,
        "succeeded": 3,
        "failed": 1,
        "cancelled": 0,
    }
    assert found["success_rate"] == 0.75
    assert list(found["run_ms"]) == ["p50", "p95", "p99"]
    assert found["wait_ms"]["p99"] >= found["wait_ms"]["p50"] >= 0
    assert api.get("/jobs/stats/summary", queue="other")["total"] == 1
    assert api.get("/jobs/stats/summary", type="a.job")["total"] == 4
    assert api.get("/jobs/stats/summary", type="none")["success_rate"] is None


def test_while_postgresql_is_down(settings: Settings, postgres_server: Postgres, api: Api) -> None:
    postgres_server.kill()
    id = api.submit()
    assert api.job(id)["state"] == "queued"
    for path in ("/jobs", "/jobs/stats/summary", f"/jobs/{id}/events"):
        response = api.client.get(f"/api/v1{path}")
        assert problem(response, 503)["type"].rsplit(":", 1)[1] in (
            "postgresql-unavailable",
            "projection-behind",
        )
        assert response.headers["retry-after"]
    health = api.get("/health")
    assert (health["status"], health["postgres"]["status"]) == ("degraded", "down")
    assert api.client.get("/api/v1/readyz").status_code == 200
    postgres_server.start()
    until(lambda: api.client.get("/api/v1/jobs").status_code == 200)
    assert api.job(id)["state"] == "queued"


def test_the_tables_may_come_later(settings: Settings) -> None:
    nowhere = msgspec.structs.replace(
        settings, postgres_dsn="postgresql://postgres@127.0.0.1:9/nowhere"
    )
    with running(nowhere) as api:
        assert api.job(api.submit())["state"] == "queued"
        problem(api.client.get("/api/v1/jobs"), 503, "postgresql-unavailable")

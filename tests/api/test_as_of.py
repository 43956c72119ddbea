"""Jobs, pages of jobs and counts as they were, and what changed between two instants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millstream.core.config import Settings
from millstream.core.events import Command
from millstream.core.ids import new_id

from .conftest import Api, Core, problem, projecting

FAR = "2999-01-01T00:00:00Z"


@pytest.fixture
def times(api: Api, core: Core) -> Times:
    return Times(core)


class Times:
    """Instants between events, by the clock of the log."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def now(self) -> str:
        """This instant; what happens after it is of a later ms."""
        begun = await self._ms()
        while await self._ms() == begun:
            await asyncio.sleep(0.0005)
        return text_of(begun)

    async def _ms(self) -> int:
        seconds, micros = await self.core.redis.time()
        return seconds * 1000 + micros // 1000


def text_of(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture(params=["archived", "not archived"])
def archive(request: Any, settings: Settings) -> Iterator[str]:
    """Both sides tell the same."""
    if request.param == "not archived":
        yield request.param
        return
    with projecting(settings):
        yield request.param


async def test_a_job_at_every_instant_of_its_life(
    archive: str, api: Api, core: Core, times: Times
) -> None:
    before = await times.now()
    id = api.submit(payload={"n": 1}, tags=["x"])
    submitted = await times.now()
    (lease,) = await core.claim()
    running = await times.now()
    await core.succeed(lease, "ok")
    ended = await times.now()
    told = [api.job(id, at=at) for at in (submitted, running, ended)]
    assert [job["state"] for job in told] == ["queued", "running", "succeeded"]
    assert [job["version"] for job in told] == [1, 2, 3]
    assert [job["result"] for job in told] == [None, None, "ok"]
    assert [job["worker"] for job in told] == [None, "tester", "tester"]
    assert told[0]["payload"] == {"n": 1}
    found = problem(api.client.get(f"/api/v1/jobs/{id}", params={"at": before}), 404, "not-found")
    assert f"did not exist at {before}: it was submitted at 2" in found["detail"]
    if archive == "archived":
        assert api.job(id, wait=60) == told[-1]


async def test_what_changed_in_a_job(archive: str, api: Api, core: Core, times: Times) -> None:
    before = await times.now()
    id = api.submit()
    submitted = await times.now()
    (lease,) = await core.claim()
    await core.fail(lease)
    ended = await times.now()
    found = api.get(f"/jobs/{id}/diff", **{"from": submitted, "to": ended})
    assert (found["id"], found["from"], found["to"]) == (id, submitted, ended)
    assert found["changes"]["state"] == {"before": "queued", "after": "failed"}
    assert found["changes"]["error"]["after"]["message"] == "it broke"
    assert found["changes"]["version"] == {"before": 1, "after": 4}
    assert "payload" not in found["changes"]
    types = [event["type"] for event in found["events"]]
    assert types == ["job.started", "job.attempt_failed", "job.failed"]
    assert found["events"][0]["position"] == "default:1:2"
    assert found["more_events"] == 0
    same = api.get(f"/jobs/{id}/diff", **{"from": ended})  # up to now
    assert (same["changes"], same["events"]) == ({}, [])
    new = api.get(f"/jobs/{id}/diff", **{"from": before})
    assert new["changes"]["type"] == {"before": None, "after": "a.job"}


async def test_a_page_of_jobs_at_an_instant(
    api: Api, core: Core, times: Times, projector: None
) -> None:
    first = [api.submit(tags=["x"]) for _ in range(3)]
    (lease, other) = await core.claim(limit=2)
    await core.succeed(lease)
    then = await times.now()
    await core.fail(other)
    later = api.submit(tags=["x"])
    await core.directory.queue("default").cancel([first[2]], Command("ada"))
    now = await times.now()

    def listed(**query: Any) -> list[str]:
        return [job["id"] for job in api.get("/jobs", **query)["items"]]

    assert listed(at=then) == first[::-1]
    assert listed(at=now) == [later, *first[::-1]]
    assert listed(at=then, state="running") == [other.id]
    assert listed(at=then, state="queued,succeeded") == [first[2], lease.id]
    assert listed(at=then, state="failed,cancelled") == []
    assert listed(at=now, state="failed") == [other.id]
    assert listed(at=now, error="IT BROKE", queue="default", type="a.job") == [other.id]
    assert listed(at=then, error="it broke") == []
    assert listed(at=then, tag="x", limit=2) == [first[2], first[1]]
    page = api.get("/jobs", at=then, limit=2)
    rest = api.get("/jobs", at=then, limit=2, cursor=page["next_cursor"])
    assert [job["id"] for job in rest["items"]] == [first[0]]
    shown = {job["id"]: job["state"] for job in api.get("/jobs", at=then)["items"]}
    assert shown == dict(zip(first, ["succeeded", "running", "queued"], strict=True))


async def test_counts_of_a_queue_at_an_instant_and_between_two(
    archive: str, api: Api, core: Core, times: Times
) -> None:
    before = await times.now()
    for _ in range(3):
        api.submit()
    api.submit(delay=60)
    then = await times.now()
    (lease, _) = await core.claim(limit=2)
    await core.succeed(lease)
    after = await times.now()
    old = api.get("/queues/default/counts", at=then)
    assert old == {
        "name": "default", "at": then, "total": 4, "position": "default:1:4",
        "by_state": {
            "scheduled": 1, "queued": 3, "blocked": 0, "running": 0, "retrying": 0,
            "succeeded": 0, "failed": 0, "cancelled": 0,
        },
    }  # fmt: skip
    empty = api.get("/queues/default/counts", at=before)
    assert (empty["total"], empty["position"]) == (0, None)
    new = api.get("/queues/default/counts")["by_state"]
    assert (new["queued"], new["running"], new["succeeded"]) == (1, 1, 1)
    found = api.get("/queues/default/diff", **{"from": then, "to": after})
    assert found["by_state"]["queued"] == {"before": 3, "after": 1, "change": -2}
    assert found["by_state"]["scheduled"] == {"before": 1, "after": 1, "change": 0}
    assert (found["name"], found["from"], found["to"]) == ("default", then, after)


@pytest.mark.parametrize(
    ("query", "status", "path", "said"),
    [
        ({"at": FAR}, 422, "$.at", "expected a time that has passed"),
        ({"at": "yesterday"}, 400, "$.at", 'such as 2027-01-31T08:00:00Z, got "yesterday"'),
        ({"at": "2026-01-01T00:00:00"}, 400, "$.at", "expected a time such as"),
        ({"at": "2026-01-01T00:00:00Z", "wait": "5"}, 400, "$.at", "wait"),
    ],
)
def test_instants_that_cannot_be(
    shared: Api, query: dict[str, str], status: int, path: str, said: str
) -> None:
    paths = ["/jobs", "/queues/default/counts"] if "wait" not in query else []
    shared.submit()
    for where in [*paths, f"/jobs/{new_id('default')}"]:
        found = problem(shared.client.get(f"/api/v1{where}", params=query), status)
        assert found["errors"][0]["path"] == path
        assert said in str(found)


@pytest.mark.parametrize(
    ("query", "status", "path"),
    [
        ({}, 400, "$.from"),
        ({"from": FAR}, 422, "$.from"),
        ({"from": "2026-01-01T00:00:00Z", "to": FAR}, 422, "$.to"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 400, "$.to"),
    ],
)
def test_spans_that_cannot_be(shared: Api, query: dict[str, str], status: int, path: str) -> None:
    id = shared.submit()
    for where in (f"/jobs/{id}/diff", "/queues/default/diff"):
        found = problem(shared.client.get(f"/api/v1{where}", params=query), status)
        assert path in str(found)


def test_what_there_never_was(shared: Api) -> None:
    now = {"at": "2026-01-01T00:00:00Z"}
    problem(shared.client.get(f"/api/v1/jobs/{new_id('nowhere')}", params=now), 404)
    problem(shared.client.get("/api/v1/jobs/nonsense", params=now), 404)
    problem(shared.client.get("/api/v1/queues/nowhere/counts", params=now), 404)

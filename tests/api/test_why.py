"""Why, over HTTP: real causes, told of jobs whose events are archived and of jobs whose are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from millstream.core.config import Settings
from millstream.core.ids import new_id
from millstream.core.workers import Report, Workers
from millstream.projections import queries
from millstream.projections.as_of import JobPast

from .conftest import Api, Core, problem, projecting, until

ADA = {"actor": "ada", "reason": "a test"}


@pytest.fixture(params=["archived", "not archived"])
def archive(request: Any, settings: Settings) -> Iterator[str]:
    if request.param == "not archived":
        yield request.param
        return
    with projecting(settings):
        yield request.param


class Why:
    """What is said of a job; checks that each event that is cited is in the log."""

    def __init__(self, api: Api, core: Core) -> None:
        self.api, self.core = api, core

    async def __call__(self, job: str) -> dict[str, str]:
        found = self.api.get(f"/jobs/{job}/why")
        assert found["id"] == job
        there = {record.position for record in await self.core.events()}
        assert {at for one in found["sentences"] for at in one["events"]} <= there
        return {one["code"]: one["text"] for one in found["sentences"]}


@pytest.fixture
def why(api: Api, core: Core) -> Why:
    return Why(api, core)


def post(api: Api, path: str, body: object = ADA) -> Any:
    answer = api.client.post(f"/api/v1{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def test_why_a_job_waits_on_for_one_that_did_not_succeed(
    archive: str, api: Api, core: Core, why: Why
) -> None:
    if archive != "archived":
        pytest.skip("how jobs ended, the tables tell")
    parents = [api.submit(), api.submit(delay=3600)]
    child = api.submit(depends_on=parents, on_parent_failure="wait")
    assert "for 2 other jobs to end" in (await why(child))["waits.jobs"]
    (lease,) = await core.claim()
    await core.fail(lease)
    until(lambda: api.job(parents[0])["state"] == "failed")
    told = until(lambda: _told(api, child))
    assert parents[0] in told
    assert "failed: it goes on once that is run again and succeeds" in told


def _told(api: Api, job: str) -> str | None:
    found = {one["code"]: one["text"] for one in api.get(f"/jobs/{job}/why")["sentences"]}
    return found.get("waits.parent")


async def serve(core: Core, **fields: Any) -> None:
    given: dict[str, Any] = {"host": "h", "pid": 1, "started_at": 0, "concurrency": 2} | fields
    await Workers(core.redis, core.keys).report(Report(**given))


async def test_why_a_job_waits(archive: str, api: Api, core: Core, why: Why) -> None:
    id = api.submit()
    assert list(await why(id)) == ["waits.no_worker", "waits.turn", "submitted"]
    await serve(core, name="w1", queues=["default"], types=["b.job"])
    assert next(iter(await why(id))) == "waits.no_handler"
    await serve(core, name="w1", queues=["default"], types=["a.job"])
    assert list(await why(id)) == ["waits.turn", "submitted"]
    post(api, "/queues/default/pause")
    told = await why(id)
    assert next(iter(told)) == "waits.paused"
    assert "by ada (a test)" in told["waits.paused"]
    later = api.submit(delay=600)
    assert list(await why(later)) == ["waits.due", "waits.paused", "submitted"]


async def test_what_comes_into_the_archive_between_two_looks_is_told(
    settings: Settings, api: Api, why: Why, monkeypatch: pytest.MonkeyPatch
) -> None:
    def catch_up() -> None:
        with projecting(settings):
            until(lambda: api.get("/health")["projection"]["lag"] == 0)

    def slow(look: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def looked(*given: Any) -> Any:
            found = await look(*given)
            await asyncio.to_thread(catch_up)
            return found

        return looked

    id = api.submit()
    post(api, "/queues/default/pause")
    monkeypatch.setattr(queries, "queue_modes", slow(queries.queue_modes))
    monkeypatch.setattr(JobPast, "unarchived", slow(JobPast.unarchived))
    assert "by ada (a test)" in (await why(id))["waits.paused"]


async def test_which_limit_a_job_waits_for(archive: str, api: Api, core: Core, why: Why) -> None:
    await serve(core, name="tester", queues=["default"], types=["a.job"])
    limits = {"types": {"a.job": {"concurrency": 1}}, **ADA}
    assert api.client.patch("/api/v1/queues/default", json=limits).is_success
    ids = [api.submit() for _ in range(3)]
    (lease,) = await core.claim(limit=3)
    first, second = [id for id in ids if id != lease.id]
    told = await why(first)
    assert "concurrency of type a.job: 1 of 1 have passed it" in told["waits.limit"]
    assert f"({lease.id})" in told["waits.limit"]
    assert "it is next" in told["waits.limit"]
    assert "1 job before it" in (await why(second))["waits.limit"]
    assert list(await why(lease.id)) == ["running", "submitted"]
    await core.succeed(lease)
    told = await why(first)
    assert list(told) == ["waits.turn", "submitted", "waited.limit"]
    assert "for a limit, concurrency of type a.job, until" in told["waited.limit"]


async def test_why_a_job_ran_again_and_was_given_up(
    archive: str, api: Api, core: Core, why: Why
) -> None:
    id = api.submit(max_attempts=2)
    queue = core.directory.queue("default")
    await core.claim()
    await queue.reap(0, 5)
    (lease,) = await core.claim()
    await core.fail(lease, "no such file")
    told = await why(id)
    assert "worker tester had not renewed its lease" in told["ran_again.crashed"]
    assert "the last error was ValueError: no such file" in told["failed.exhausted"]
    if archive == "archived":
        until(lambda: api.job(id)["state"] == "failed")
        post(api, f"/jobs/{id}/retry")
        (lease,) = await core.claim()
        await core.succeed(lease)
        told = await why(id)
        assert "by ada (a test)" in told["redriven"]
        assert list(told)[-2:] == ["ran_again.redriven", "succeeded"]


async def test_why_a_job_was_cancelled_or_never_ran(
    archive: str, api: Api, core: Core, why: Why
) -> None:
    id = api.submit()
    post(api, f"/jobs/{id}/cancel")
    assert "by ada (a test)" in (await why(id))["cancelled"]
    purged = api.submit()
    post(api, "/queues/default/purge", {"actor": "eve", "reason": "a loop"})
    assert "by eve (a loop)" in (await why(purged))["cancelled"]


async def test_why_a_submission_made_no_job(archive: str, api: Api, why: Why) -> None:
    unique = {"key": "k", "policy": "replace"}
    id = api.submit(unique=unique, delay=600)
    again = api.client.post(
        "/api/v1/jobs", json={"type": "a.job", "unique": unique, "delay": 900}
    ).json()
    assert (again["id"], again["deduplicated"]) == (id, True)
    told = await why(id)
    assert "until it has ended, submissions like it make no job" in told["unique"]
    assert "a later submission like it took its place" in told["replaced"]
    assert told["waits.due"].endswith("the time the submission asked for that took its place.")


async def test_how_a_job_came_from_its_schedule(api: Api, why: Why, projector: None) -> None:
    plan = {"name": "nightly", "type": "a.job", "every": 3600}
    assert api.client.post("/api/v1/schedules", json=plan, params=ADA).is_success
    job = post(api, "/schedules/nightly/fire")["jobs"][0]
    told = await why(job)
    assert "by schedule nightly for its occurrence" in told["submitted"]
    assert "by hand by ada (a test)" in told["schedule.fired"]
    found = until(lambda: len(f := api.get("/schedules/nightly/why")["sentences"]) > 1 and f)
    assert [one["code"] for one in found] == ["schedule.created", "schedule.fired"]


def test_of_nothing_there_is_no_why(shared: Api) -> None:
    problem(shared.client.get(f"/api/v1/jobs/{new_id('default')}/why"), 404, "not-found")
    problem(shared.client.get("/api/v1/jobs/nonsense/why"), 404, "not-found")
    problem(shared.client.get("/api/v1/schedules/nobody/why"), 404, "not-found")
    found = problem(shared.client.get("/api/v1/schedules/nobody/why?at=1"), 400)
    assert found["errors"][0]["path"] == "$.at"

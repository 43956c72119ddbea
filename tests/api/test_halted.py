"""Reads of a queue whose log was lost: what the tables know they tell, and say what they cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.events import Command, JobSubmitted
from millstream.core.ids import new_id, new_ids
from millstream.core.queue import new_job
from millstream.projections.restore.course import restore
from tests.projections.stage import until as until_async

from .conftest import Api, Core, problem, projecting, running, until


@dataclass
class Halted:
    """A halted queue. Of its jobs `done` has succeeded, `left` was queued and `ran` was running
    when the archive ended; `later` was accepted after that, and is in no table.

    end       the position of the archive's last event
    then      the instant of that event
    """

    api: Api
    core: Core
    done: str
    left: str
    ran: str
    later: str
    end: str = ""
    then: str = ""

    def refused(self, path: str, **query: Any) -> str:
        """The detail of a read that only Redis could have answered."""
        answer = self.api.client.get(f"/api/v1{path}", params=query)
        found = problem(answer, 503, "log-lost")
        assert "default is halted until `millstream restore`: the log of default" in found["detail"]
        return found["detail"]


async def _lose(kind: str, halted: Halted) -> None:
    """Redis loses all; or its log goes back to before the archive's last event, and then on."""
    redis, keys = halted.core.redis, halted.core.keys
    if kind == "gone":
        halted.later = halted.api.submit()
        await redis.flushall()
        return
    last = await halted.core.logs.last("default")
    assert last is not None
    await redis.xdel(keys.log("default"), last.entry)
    await redis.hset(keys.meta("default"), "seq", last.seq - 1)
    halted.later, *_ = ids = list(new_ids("default", 3))
    body = JobSubmitted("a.job", payload=wrap(None))
    # Not by the API: it would see that positions are given a second time, and halt the queue.
    await halted.core.directory.queue("default").submit([new_job(id, body) for id in ids])


@pytest.fixture(params=["gone", "went back"])
async def halted(request: Any, settings: Settings, core: Core) -> AsyncIterator[Halted]:
    with running(settings) as api:
        with projecting(settings):
            done = api.submit()
            (lease,) = await core.claim()
            await core.succeed(lease, "ok")
            ran = api.submit()
            await core.claim()
            left = api.submit(payload={"n": 7})
            found = Halted(api, core, done, left, ran, "")
            until(lambda: _is_archived(api, left))
            events = await core.events()
            found.end = events[-1].position
            found.then = api.get("/events", queue="default")["items"][-1]["time"]
        await _lose(request.param, found)
        with projecting(settings):
            await until_async(lambda: _is_lost(core))
        yield found


def _is_archived(api: Api, job: str) -> bool:
    return job in [one["id"] for one in api.get("/jobs")["items"]]


async def _is_lost(core: Core) -> bool:
    return (await core.logs.head("default")).lost is not None


async def test_why_begins_with_the_halt_and_tells_on_from_the_archive(halted: Halted) -> None:
    jobs = {halted.done: "submitted", halted.left: "waits.turn", halted.ran: "running"}
    for job, then in jobs.items():
        first, second, *_ = halted.api.get(f"/jobs/{job}/why")["sentences"]
        assert first["code"] == "halted"
        assert first["events"] == [halted.end]
        assert first["text"].startswith("Its queue is halted since 2")
        assert "the log of default has gone back" in first["text"]
        assert "nothing runs there until `millstream restore`" in first["text"]
        assert f"as it stood at {halted.then}" in first["text"]
        assert second["code"] == then


async def test_what_the_tables_know_of_a_job_is_told(halted: Halted) -> None:
    api = halted.api
    assert api.job(halted.done)["result"] == "ok"
    assert api.job(halted.left, after=halted.end)["payload"] == {"n": 7}
    told = [one["type"] for one in api.get(f"/jobs/{halted.ran}/events")["items"]]
    assert told == ["job.submitted", "job.started"]
    (attempt,) = api.get(f"/jobs/{halted.ran}/attempts")["items"]
    assert attempt["worker"] == "tester"
    assert api.job(halted.ran, at=halted.then)["state"] == "running"
    assert api.get(f"/jobs/{halted.done}/diff", **{"from": halted.then})["changes"] == {}


async def test_lists_counts_and_the_log_are_those_of_the_archive(halted: Halted) -> None:
    api, jobs = halted.api, [halted.left, halted.ran, halted.done]
    at = api.get("/queues/default/counts")
    assert at["position"] == halted.end
    for query in ({}, {"at": halted.then}, {"at": at["at"]}, {"queue": "default", "at": at["at"]}):
        assert [one["id"] for one in api.get("/jobs", **query)["items"]] == jobs
    assert api.get("/queues/default/counts", at=halted.then)["by_state"] == at["by_state"]
    assert (at["by_state"]["queued"], at["total"]) == (1, 3)
    found = api.get("/queues/default/diff", **{"from": halted.then})["by_state"]
    assert {state["change"] for state in found.values()} == {0}
    assert api.get("/queues/default")["mode"] == "lost"
    for query in ({}, {"queue": "default"}):
        events = api.get("/events", **query)["items"]
        assert [one["seq"] for one in events] == [1, 2, 3, 4, 5, 6]
    (only,) = api.get("/events", job=halted.left)["items"]
    assert only["position"] == halted.end


async def test_what_only_redis_knew_is_refused_with_the_reason(halted: Halted) -> None:
    unknown = new_id("default")
    for path in ("/why", "/events", "/attempts"):
        halted.refused(f"/jobs/{halted.later}{path}")
        halted.refused(f"/jobs/{unknown}{path}")
    assert f"do not know job {unknown}" in halted.refused(f"/jobs/{unknown}")
    assert "do not know default:1:900" in halted.refused(
        f"/jobs/{halted.left}", after="default:1:900"
    )
    halted.refused(f"/jobs/{unknown}", at=halted.then)
    halted.refused("/events", job=unknown)
    halted.refused(f"/flows/{unknown}")
    problem(halted.api.client.get(f"/api/v1/jobs/{new_id('other')}/why"), 404, "not-found")
    found = halted.api.client.post("/api/v1/jobs", json={"type": "a.job"})
    assert "Nothing is accepted" in problem(found, 503, "log-lost")["detail"]


async def test_after_a_restore_there_is_no_word_of_it(halted: Halted, settings: Settings) -> None:
    await restore(settings, by=Command("ada", "a test"), dry_run=False)
    with projecting(settings):
        until(lambda: halted.api.job(halted.ran)["state"] == "queued")
        codes = [one["code"] for one in halted.api.get(f"/jobs/{halted.left}/why")["sentences"]]
    assert "halted" not in codes

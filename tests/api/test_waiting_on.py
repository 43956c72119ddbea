"""Jobs that wait for one to be run again which is discarded, and too many that wait for one."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.ids import new_id
from millstream.core.linking import MAX_DEPENDENTS

from .conftest import Api, Core, problem, until
from .flowing import audit, job, post, work


async def failed(api: Api, core: Core, *more: str) -> tuple[str, str]:
    """A job that failed, and one that waits for it, and for more."""
    parent = api.submit()
    child = api.submit(depends_on=[parent, *more], on_parent_failure="wait")
    await work(core, fail=(parent,))
    until(lambda: api.job(parent)["state"] == "failed")
    return parent, child


@pytest.mark.parametrize("how", ["one", "many"])
async def test_discarding_a_job_ends_who_waits_for_it_to_be_run_again(
    api: Api, core: Core, projector: None, how: str
) -> None:
    parent, child = await failed(api, core)
    follows = api.submit(depends_on=[child])
    assert api.job(child)["state"] == "blocked"
    if how == "one":
        post(api, 200, f"/jobs/{parent}/discard")
    else:
        post(api, 200, "/jobs/actions", action="discard", filter={"state": "failed"})
    until(lambda: api.job(follows)["state"] == "failed")
    error = api.job(child)["error"]
    assert error["type"] == "parent_failed"
    assert error["message"] == f"job {parent}, which it depends on, failed and was discarded"
    told = {one["code"]: one["text"] for one in api.get(f"/jobs/{child}/why")["sentences"]}
    assert parent in told["failed.parent_failed"]
    await audit(api)


async def test_a_flow_does_not_run_for_ever_because_of_a_discarded_job(
    api: Api, core: Core, projector: None
) -> None:
    answer = post(api, jobs=[job("a"), job("b", "a", on_parent_failure="wait")])
    parent = answer["items"][0]["id"]
    await work(core, fail=(parent,))
    until(lambda: api.job(parent)["state"] == "failed")
    assert api.get(f"/flows/{answer['id']}")["state"] == "running"
    post(api, 200, f"/jobs/{parent}/discard")
    until(lambda: api.get(f"/flows/{answer['id']}")["state"] == "failed")


async def test_who_is_to_wait_for_a_discarded_job_fails_at_once(
    api: Api, core: Core, projector: None
) -> None:
    parent, _ = await failed(api, core)
    post(api, 200, f"/jobs/{parent}/discard")
    until(lambda: api.job(parent)["discarded"])
    child = api.submit(depends_on=[parent], on_parent_failure="wait")
    assert api.job(child)["state"] == "failed"
    runs = api.submit(depends_on=[parent], on_parent_failure="run")
    assert await work(core) == [runs]
    await audit(api)


async def test_a_discard_that_was_not_told_of_is_found_out(
    api: Api, core: Core, projector: None
) -> None:
    """What the parent's queue knew of who waits for it was lost with a server."""
    parent, child = await failed(api, core)
    await core.redis.delete(core.keys.awaited("default", parent))
    post(api, 200, f"/jobs/{parent}/discard")
    until(lambda: api.job(parent)["discarded"])
    await core.redis.zadd(core.keys.dependents("default"), {child: 0})
    until(lambda: api.job(child)["state"] == "failed")
    assert "was discarded" in api.job(child)["error"]["message"]
    await audit(api)


async def crowd(core: Core, parent: str) -> None:
    key = core.keys.awaited("default", parent)
    ids = [new_id("default") for _ in range(MAX_DEPENDENTS)]
    for first in range(0, MAX_DEPENDENTS, 10_000):
        await core.redis.sadd(key, *ids[first : first + 10_000])


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("/jobs", "$.depends_on[1]"),
        ("/jobs/batch", "$.jobs[0].depends_on[1]"),
        ("/flows", "$.jobs[0].depends_on"),
    ],
)
async def test_too_many_that_wait_for_one_job_are_refused(
    api: Api, core: Core, projector: None, path: str, at: str
) -> None:
    free, full = api.submit(), api.submit()
    await crowd(core, full)
    given: Any = {"type": "a.job", "depends_on": [free, full]}
    body = given if path == "/jobs" else {"jobs": [given]}
    told = problem(api.client.post(f"/api/v1{path}", json=body), 422, "unacceptable-value")
    (error,) = told["errors"]
    assert error["path"] == at
    assert error["message"] == (
        f"expected a job that fewer than {MAX_DEPENDENTS} others wait for, got {full},"
        " for which so many do"
    )
    assert len(await core.claim()) == 2

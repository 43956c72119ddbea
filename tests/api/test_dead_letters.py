"""Dead letters over HTTP: groups, filters, redriving a few or at a rate, letting them go."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from millstream.api import acting
from millstream.core import events as ev
from millstream.core.events import Fault, JobAttemptFailed, JobFailed, body_of
from millstream.core.fingerprint import fingerprint_of
from millstream.core.ids import new_id
from millstream.core.upcast import decode

from .conftest import Api, Core, problem, until
from .test_actions import act, submit_many


async def fail(api: Api, core: Core, kind: str, count: int, **fields: Any) -> list[str]:
    """Jobs that failed alike, once the tables show them; oldest id first."""
    before = sum(group["count"] for group in dead(api))
    ids = submit_many(api, count, **fields)
    for number, lease in enumerate(await core.claim(limit=count)):
        fault = Fault(kind, f"no file {number}", 'File "/app/jobs.py", line 3, in run\n')
        end = body_of(JobFailed("exhausted"))
        await core.finish(lease, "failed", body_of(JobAttemptFailed(fault)), end)
    until(lambda: sum(group["count"] for group in dead(api)) == before + count)
    return sorted(ids)


def dead(api: Api, **query: Any) -> list[Any]:
    return api.get("/dead-letters", **query)["items"]


def ids(api: Api, **query: Any) -> list[str]:
    return [job["id"] for job in api.get("/jobs", **query)["items"]]


async def test_groups_and_their_jobs(api: Api, core: Core, projector: None) -> None:
    old = await fail(api, core, "OSError", 3)
    new = await fail(api, core, "KeyError", 1, type="b.job")
    latest, before = dead(api)
    fault = Fault("OSError", "no file 0", 'File "/app/jobs.py", line 9, in run\n')
    digest, label = fingerprint_of("exhausted", fault)
    assert list(before) == [
        "fingerprint", "label", "reason", "queue", "type", "count", "first_at", "last_at", "sample",
    ]  # fmt: skip
    assert before["fingerprint"] == digest
    assert before["label"] == label == "OSError: no file # (run in jobs.py)"
    assert (before["reason"], before["queue"], before["type"]) == ("exhausted", "default", "a.job")
    last = [one.job for one in await core.events() if one.type == "job.failed"][2]
    assert (before["count"], before["sample"]) == (3, last)
    assert before["first_at"] <= before["last_at"] <= latest["first_at"]
    assert dead(api, type="b.job") == dead(api, fingerprint=latest["fingerprint"]) == [latest]
    assert dead(api, queue="other") == []
    page = api.get("/dead-letters", limit=1)
    assert page["items"] == [latest]
    rest = api.get("/dead-letters", limit=1, cursor=page["next_cursor"])
    assert rest == {"items": [before], "next_cursor": None}
    assert ids(api, fingerprint=digest) == old[::-1]
    assert api.job(new[0])["fingerprint"] == latest["fingerprint"]


async def test_a_canary_first_then_the_others_as_one_command(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PAGE", 2)
    jobs = await fail(api, core, "OSError", 6)
    (group,) = dead(api)
    filter = {"fingerprint": group["fingerprint"]}
    assert act(api, "retry", filter, canary=3, dry_run=True)["matched"] == 3
    found = act(api, "retry", filter, canary=3, actor="ada", reason="is it fixed?")
    assert (found["changed"], found["next_cursor"]) == (3, None)
    until(lambda: dead(api)[0]["count"] == 3)
    command = found["command"]
    until(lambda: ids(api, command=command) == jobs[:2:-1])
    redriven = [decode(one) for one in await core.events() if one.type == "job.redriven"]
    assert redriven == [ev.JobRedriven("ada", "is it fixed?", command=command)] * 3
    rest = act(api, "retry", filter, command="my-own")
    assert (rest["changed"], rest["command"]) == (3, "my-own")
    until(lambda: not dead(api))
    assert api.job(jobs[0])["command"] == "my-own"
    again = act(api, "cancel", {"command": "my-own"})
    assert again["changed"] == 3


async def test_at_a_rate_each_job_gets_its_own_time(
    api: Api, core: Core, projector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PAGE", 3)
    await fail(api, core, "OSError", 7)
    before = await core.events()
    found = act(api, "retry", {"type": "a.job"}, rate=0.5, delay=10)
    assert found["outcomes"] == {"scheduled": 7}
    told = [one for one in (await core.events())[len(before) :] if one.type == "job.redriven"]
    waits = [decode(one).run_at - one.time for one in told]  # pyright: ignore[reportAttributeAccessIssue]
    assert all(abs(w - at) <= 5 for w, at in zip(waits, range(10_000, 24_000, 2000), strict=True))
    assert await core.claim() == []
    until(lambda: len(ids(api, state="scheduled")) == 7)
    assert act(api, "reschedule", {"command": found["command"]}, delay=0)["changed"] == 7
    assert len(await core.claim()) == 7


async def test_the_first_of_a_rate_runs_at_once(api: Api, core: Core, projector: None) -> None:
    jobs = await fail(api, core, "OSError", 3)
    found = act(api, "retry", {"type": "a.job"}, rate=0.01)
    assert found["outcomes"] == {"queued": 1, "scheduled": 2}
    assert [lease.id for lease in await core.claim()] == [jobs[0]]


async def test_discarded_jobs_stay_failed_but_are_left_alone(
    api: Api, core: Core, projector: None
) -> None:
    jobs = await fail(api, core, "OSError", 3)
    kept = await fail(api, core, "KeyError", 1)
    filter = {"fingerprint": dead(api)[1]["fingerprint"]}
    assert act(api, "discard", filter, dry_run=True)["matched"] == 3
    found = act(api, "discard", filter, actor="ada", reason="old news")
    assert found["outcomes"] == {"discarded": 3}
    until(lambda: [group["sample"] for group in dead(api)] == kept)
    assert ids(api, state="failed") == [*kept, *jobs[::-1]]
    assert ids(api, state="failed", discarded="true") == jobs[::-1]
    assert ids(api, discarded="false") == kept
    job = api.job(jobs[0])
    assert (job["state"], job["discarded"]) == ("failed", True)
    last = decode((await core.events())[-1])
    assert last == ev.JobDiscarded("ada", "old news", found["command"])
    assert act(api, "retry", filter)["matched"] == act(api, "discard", filter)["matched"] == 0
    done = api.client.post(f"/api/v1/jobs/{jobs[0]}/retry")
    assert done.json()["outcome"] == "queued"
    until(lambda: api.job(jobs[0])["discarded"] is False)


async def test_one_job_is_discarded(api: Api, core: Core, projector: None) -> None:
    one, other = await fail(api, core, "OSError", 2)
    address = f"/api/v1/jobs/{one}/discard"
    done = api.client.post(address, json={"actor": "ada", "reason": "known"})
    assert done.json() == {"id": one, "state": "failed", "outcome": "discarded"}
    assert decode((await core.events())[-1]) == ev.JobDiscarded("ada", "known")
    until(lambda: dead(api)[0]["count"] == 1)
    before = len(await core.events())
    assert api.client.post(address).json()["outcome"] == "discarded"
    assert len(await core.events()) == before
    api.client.post(f"/api/v1/jobs/{other}/retry")
    problem(api.client.post(f"/api/v1/jobs/{other}/discard"), 409, "conflict")
    problem(api.client.post(f"/api/v1/jobs/{new_id('default')}/discard"), 404, "not-found")
    headers = {"origin": "http://elsewhere.example"}
    problem(api.client.post(address, headers=headers), 403)


async def test_two_operators_one_of_whom_discards(api: Api, core: Core, projector: None) -> None:
    await fail(api, core, "OSError", 20)
    results: list[Any] = []

    def press(action: str) -> None:
        body = {"action": action, "filter": {"type": "a.job"}}
        results.append(api.client.post("/api/v1/jobs/actions", json=body).json())

    pressing = [threading.Thread(target=press, args=(verb,)) for verb in ("retry", "discard") * 2]
    for thread in pressing:
        thread.start()
    for thread in pressing:
        thread.join()
    # What was discarded first may be retried by who read it failed: never both from one reading.
    assert all(set(one["skipped"]) <= {"live", "stale"} for one in results), results
    until(lambda: not dead(api))
    told = [one for one in await core.events() if one.type in ("job.redriven", "job.discarded")]
    assert len(told) == sum(one["changed"] for one in results)
    assert len({one.job for one in told}) == 20


def test_a_job_that_was_never_to_be_found(shared: Api, nothing_done: None) -> None:
    assert dead(shared) == []
    for query in ("fingerprint=x", "cursor=x", "limit=0", "queue=", "reason=x"):
        found = problem(shared.client.get(f"/api/v1/dead-letters?{query}"), 400)
        assert found["errors"][0]["path"] == f"$.{query.partition('=')[0]}"
    for query in ("fingerprint=ABC", "discarded=maybe", "command=a%20b"):
        problem(shared.client.get(f"/api/v1/jobs?{query}"), 400)


async def test_failures_without_an_error_are_grouped_by_reason(
    api: Api, core: Core, projector: None
) -> None:
    api.submit()
    (lease,) = await core.claim()
    await core.finish(lease, "failed", b"", msgspec.json.encode({"reason": "expired"}))
    (group,) = until(lambda: dead(api))
    assert (group["label"], group["reason"], group["count"]) == ("expired", "expired", 1)

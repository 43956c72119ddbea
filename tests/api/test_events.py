"""GET /events: archive and live tail as one, over one queue or several, filtered, page by page."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.core.config import Settings
from millstream.core.ids import new_id
from millstream.projections import telling

from .conftest import Api, Core, problem, projecting, until
from .test_as_of import Times

ADA = {"actor": "ada", "reason": "a test"}


@pytest.fixture(params=["archived", "not archived"])
def archive(request: Any, settings: Settings) -> Iterator[str]:
    if request.param == "not archived":
        yield request.param
        return
    with projecting(settings):
        yield request.param


def pages(api: Api, limit: int, **query: Any) -> list[Any]:
    """All events, page by page."""
    found: list[Any] = []
    cursor = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = api.get("/events", limit=limit, **query, **more)
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_one_queue_by_seq(archive: str, api: Api, core: Core) -> None:
    ids = [api.submit() for _ in range(5)]
    for lease in await core.claim():
        await core.succeed(lease)
    events = api.get("/events", queue="default")
    assert [one["seq"] for one in events["items"]] == list(range(1, 16))
    assert [one["job_id"] for one in events["items"][:5]] == ids
    assert list(events["items"][0]) == [
        "position", "seq", "epoch", "time", "type", "job_id", "version", "body",
    ]  # fmt: skip
    assert events["next_cursor"] is None
    for limit in (1, 4, 15):
        assert pages(api, limit, queue="default") == events["items"]
    later = api.submit()
    page = api.get("/events", queue="default", cursor=events["cursor"])
    assert [one["job_id"] for one in page["items"]] == [later]
    assert api.get("/events", queue="default", cursor=page["cursor"])["items"] == []


async def test_several_queues_by_time_then_name(
    archive: str, api: Api, core: Core, times: Times
) -> None:
    for n in range(12):
        api.submit(queue=("b", "a", "c")[n % 3])
    await times.now()
    found = pages(api, 5)
    order = [(one["time"], one["position"].split(":")[0]) for one in found]
    assert order == sorted(order)
    assert len(found) == 12
    for queue in ("a", "b", "c"):
        mine = [one["seq"] for one in found if one["position"].startswith(f"{queue}:")]
        assert mine == [1, 2, 3, 4]
    assert pages(api, 5, queue="a,c") == [o for o in found if o["position"][0] != "b"]
    page = api.get("/events")
    api.submit(queue="new")
    await times.now()
    rest = api.get("/events", cursor=page["cursor"])["items"]
    assert [one["position"] for one in rest] == ["new:1:1"]


@pytest.fixture
def times(core: Core) -> Times:
    return Times(core)


async def test_filters(archive: str, api: Api, core: Core, times: Times) -> None:
    first, second = api.submit(), api.submit()
    api.client.post("/api/v1/queues/default/pause", json=ADA).raise_for_status()
    await times.now()
    then = await times.now()  # of a later ms than all that was, and an earlier one than what comes
    api.client.post(f"/api/v1/jobs/{first}/cancel", json=ADA).raise_for_status()
    api.client.post("/api/v1/queues/default/resume", json={"actor": "eve"}).raise_for_status()
    (lease,) = await core.claim()
    assert lease.id == second
    await times.now()

    def types(**query: Any) -> list[str]:
        return [one["type"] for one in pages(api, 2, **query)]

    assert types(type="job.started") == ["job.started"]
    assert types(type="queue.paused,queue.resumed") == ["queue.paused", "queue.resumed"]
    assert types(actor="ada") == ["queue.paused", "job.cancelled"]
    assert types(actor="eve", type="job.cancelled") == []
    assert types(job=first) == ["job.submitted", "job.cancelled"]
    assert types(job=second, type="job.started") == ["job.started"]
    assert types(job=second, queue="other") == []
    assert types(to=then) == ["job.submitted"] * 2 + ["queue.paused"]
    assert types(**{"from": then}) == ["job.cancelled", "queue.resumed", "job.started"]
    assert types(job=first, **{"from": then}) == ["job.cancelled"]


async def test_a_page_looks_at_a_bounded_number_of_events(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "MOST_EXAMINED", 4)
    ids = [api.submit() for _ in range(10)]
    api.client.post(f"/api/v1/jobs/{ids[0]}/cancel", json=ADA).raise_for_status()
    page = api.get("/events", queue="default", type="job.cancelled")
    assert page["items"] == []
    assert page["next_cursor"] is not None
    assert len(pages(api, 10, queue="default", type="job.cancelled")) == 1


async def test_events_that_are_gone_are_not_passed_over(api: Api, core: Core) -> None:
    for _ in range(3):
        api.submit()
    entry = (await core.events())[1].entry
    await core.redis.xdel(core.keys.log("default"), entry)
    found = api.client.get("/api/v1/events", params={"queue": "default"})
    assert "expected seq 2, got: seq 3" in problem(found, 410, "history-lost")["detail"]


async def test_what_was_archived_meanwhile_is_told_once(
    settings: Settings, api: Api, core: Core
) -> None:
    for _ in range(10):
        api.submit()
    first = api.get("/events", queue="default", limit=4)
    with projecting(settings):
        until(lambda: api.get("/jobs")["items"])
        cursor, found = first["next_cursor"], first["items"]
        while cursor is not None:
            page = api.get("/events", queue="default", limit=4, cursor=cursor)
            found, cursor = found + page["items"], page["next_cursor"]
    assert [one["seq"] for one in found] == list(range(1, 11))


def forged(places: str) -> str:
    return base64.urlsafe_b64encode(zlib.compress(places.encode())).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"cursor": "nonsense"}, "$.cursor"),
        ({"cursor": "é"}, "$.cursor"),
        ({"cursor": forged('{"default":[-1,"0-0"]}')}, "$.cursor"),
        ({"cursor": forged('{"default":[1,"$"]}')}, "$.cursor"),
        ({"cursor": forged('{"default":"0-0"}')}, "$.cursor"),
        ({"cursor": forged("[" * 2_000_000)}, "$.cursor"),
        ({"type": "job.dreamt"}, "$.type"),
        ({"type": "%"}, "$.type"),
        ({"from": "yesterday"}, "$.from"),
        ({"from": "2027-01-02T00:00:00Z", "to": "2027-01-01T00:00:00Z"}, "$.to"),
        ({"limit": "501"}, "$.limit"),
        ({"actor": ""}, "$.actor"),
        ({"colour": "red"}, "$.colour"),
    ],
)
def test_questions_that_cannot_be(shared: Api, query: dict[str, str], path: str) -> None:
    found = problem(shared.client.get("/api/v1/events", params=query), 400)
    assert found["errors"][0]["path"].startswith(path)


def test_queues_and_jobs_there_never_were(shared: Api) -> None:
    for query in ({"queue": "nowhere"}, {"job": new_id("default")}, {"job": "nonsense"}):
        problem(shared.client.get("/api/v1/events", params=query), 404)

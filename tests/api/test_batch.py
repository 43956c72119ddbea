"""POST /jobs/batch: all or none, in order."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from .conftest import Api, Core, problem


def post(api: Api, jobs: list[Any]) -> Any:
    return api.client.post("/api/v1/jobs/batch", json={"jobs": jobs})


async def test_many_jobs_in_order(api: Api, core: Core) -> None:
    jobs = [{"type": "a.job", "payload": i, "queue": f"q{i % 3}"} for i in range(2500)]
    response = post(api, jobs)
    assert response.status_code == 201
    items = response.json()["items"]
    assert [item["queue"] for item in items] == [job["queue"] for job in jobs]
    assert len({item["id"] for item in items}) == 2500
    for queue in ("q0", "q1", "q2"):
        records = {record.position: record for record in await core.events(queue)}
        told = [(item, i) for i, item in enumerate(items) if item["queue"] == queue]
        assert len(records) == len(told)
        for item, payload in told:
            record = records[item["position"]]
            assert record.job == item["id"]
            assert msgspec.json.decode(record.body)["payload"]["data"] == payload


def test_ten_thousand_and_no_more(shared: Api) -> None:
    assert len(post(shared, [{"type": "a"}] * 10_000).json()["items"]) == 10_000
    found = problem(post(shared, [{"type": "a"}] * 10_001), 400)
    assert found["errors"][0]["path"] == "$.jobs"


@pytest.mark.parametrize(
    ("bad", "path", "status"),
    [
        ({"type": "a", "priority": 11}, "$.jobs[3].priority", 400),
        ({"type": "a", "unique": 1}, "$.jobs[3].unique", 400),
        ({"kind": "a"}, "$.jobs[3].kind", 400),
        ({}, "$.jobs[3].type", 400),
        (5, "$.jobs[3]", 400),
        ({"type": "no spaces"}, "$.jobs[3].type", 422),
        ({"type": "a", "queue": "A"}, "$.jobs[3].queue", 422),
        ({"type": "a", "run_at": "2020-01-01T00:00:00Z"}, "$.jobs[3].run_at", 422),
    ],
)
def test_one_bad_job_refuses_all(
    shared: Api, nothing_done: None, bad: Any, path: str, status: int
) -> None:
    found = problem(post(shared, [{"type": "a"}] * 3 + [bad] + [{"type": "a"}] * 2000), status)
    assert [fault["path"] for fault in found["errors"]] == [path]


def test_each_bad_job_is_named(shared: Api) -> None:
    jobs = [{"type": "a", "priority": i} for i in range(8, 13)]
    found = problem(post(shared, jobs), 400)
    assert [fault["path"] for fault in found["errors"]] == [
        "$.jobs[2].priority",
        "$.jobs[3].priority",
        "$.jobs[4].priority",
    ]


async def test_unknown_types_are_named_and_refuse_all(api: Api, core: Core) -> None:
    from .test_submit import announce

    await announce(core, "default", "a.job")
    before = len(await core.events())
    found = problem(post(api, [{"type": "a.job"}, {"type": "b.job"}]), 422, "unknown-job-type")
    assert [fault["path"] for fault in found["errors"]] == ["$.jobs[1].type"]
    assert len(await core.events()) == before


@pytest.mark.parametrize("body", [{"jobs": []}, {"jobs": {}}, {}, [], {"jobs": [], "x": 1}])
def test_what_is_no_batch(shared: Api, body: Any) -> None:
    problem(shared.client.post("/api/v1/jobs/batch", json=body), 400)


def test_a_deep_payload_in_a_batch(shared: Api) -> None:
    deep: Any = 1
    for _ in range(65):
        deep = [deep]
    found = problem(post(shared, [{"type": "a"}, {"type": "a", "payload": deep}]), 400, "too-deep")
    assert found["errors"][0]["path"] == "$.jobs[1].payload"


def test_a_repeated_key_in_a_batch(shared: Api) -> None:
    body = json.dumps({"jobs": [{"type": "a"}]}).replace("}]", ',"type":"a"}]')
    headers = {"content-type": "application/json"}
    found = problem(shared.client.post("/api/v1/jobs/batch", content=body, headers=headers), 400)
    assert found["errors"][0]["path"] == "$.jobs[0].type"

"""Flows that cannot be, and jobs that wait for what cannot be, are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core.ids import new_id

from .conftest import Api, problem
from .flowing import job

CYCLE = [job("a", "c"), job("b", "a"), job("c", "b"), job("d")]


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ({"jobs": CYCLE}, "$.jobs[0].depends_on", "a → c → b → a"),
        ({"jobs": [job("a", "a")]}, "$.jobs[0].depends_on[0]", "which is this one"),
        ({"jobs": [job("a"), job("b", "x")]}, "$.jobs[1].depends_on[0]", "got 'x'"),
        ({"jobs": [job("a"), job("b", "a", "a")]}, "$.jobs[1].depends_on[1]", "once"),
        ({"jobs": [job("a"), job("a")]}, "$.jobs[1].key", "of its own"),
        ({"jobs": [job(), job()], "then": job()}, "$.then", "only there"),
        ({"batch": [job()]}, "$.then", "expected a job"),
        ({"batch": [], "then": job()}, "$.batch", "at least one"),
        ({}, "$", "got none"),
        ({"jobs": [job()], "chain": [job()]}, "$", "jobs and chain"),
        ({"chain": [job()], "open": True}, "$.open", "expected a batch"),
        (
            {"jobs": [job("a", on_parent_failure="run")]},
            "$.jobs[0].on_parent_failure",
            "depends_on",
        ),
        ({"jobs": [job("a", unique={}), job("b", "a")]}, "$.jobs[0].unique", "stand for it"),
        (
            {"jobs": [job("a"), job("b", "a", unique={"policy": "replace"})]},
            "$.jobs[1].unique.policy",
            "got replace",
        ),
        ({"chain": [job(), job(queue="NO")]}, "$.chain[1].queue", "expected"),
    ],
)
@pytest.mark.usefixtures("nothing_done")
def test_what_cannot_be_is_refused_by_name(
    shared: Api, body: dict[str, Any], path: str, said: str
) -> None:
    found = problem(shared.client.post("/api/v1/flows", json=body), 422, "unacceptable-value")
    assert found["errors"][0]["path"] == path
    assert said in found["errors"][0]["message"]


@pytest.mark.usefixtures("nothing_done")
def test_bad_shapes_are_refused(shared: Api) -> None:
    for body in ({"jobs": []}, {"jobs": [job("a b")]}, {"flow": []}, {"jobs": [job(on_x=1)]},
                 {"jobs": [job("a", on_parent_failure="shrug")]}):  # fmt: skip
        problem(shared.client.post("/api/v1/flows", json=body), 400, "invalid-request")


def test_bad_parents_of_one_job_are_refused(shared: Api) -> None:
    a = new_id("nowhere")
    for given, path in (
        ([a, a], "$.depends_on[1]"),
        (["x"], "$.depends_on[0]"),
        ([a], "$.depends_on[0]"),
    ):
        answer = shared.client.post("/api/v1/jobs", json={**job(), "depends_on": given})
        assert problem(answer, 422)["errors"][0]["path"] == path


def test_a_flow_that_is_none_is_not_found(shared: Api) -> None:
    for flow in ("x", new_id("nowhere")):
        for path in ("", "/jobs", "/edges"):
            problem(shared.client.get(f"/api/v1/flows/{flow}{path}"), 404, "not-found")
        for path in ("/close", "/cancel"):
            problem(shared.client.post(f"/api/v1/flows/{flow}{path}"), 404, "not-found")
    problem(shared.client.get("/api/v1/flows?cursor=x"), 400)

"""What is wrong with a request is told with what came."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, problem


@pytest.mark.parametrize(
    ("field", "value", "path", "message"),
    [
        ("priority", 10, "$.priority", "Expected `int` <= 9, got 10"),
        ("max_attempts", 0, "$.max_attempts", "Expected `int` >= 1, got 0"),
        ("timeout", -0.5, "$.timeout", "Expected `float` > 0.0, got -0.5"),
        ("run_at", "soon", "$.run_at", 'expected a time such as 2027-01-31T08:00:00Z, got "soon"'),
        ("run_at", "2027-01-31T08:00:00", "$.run_at", None),
        ("subject", "", "$.subject", 'Expected `str` of length >= 1, got ""'),
        ("tags", ["a", 5], "$.tags[1]", "Expected `str`, got `int`"),
        ("backoff", {"kind": "list", "delays": [1] * 10_000}, "$.backoff.delays",
         "Expected `array` of length <= 100, got 10000"),
        ("backoff", {"kind": "list", "delays": [1, -2]}, "$.backoff.delays[1]",
         "Expected `float` >= 0.0, got -2"),
        ("backoff", {"kind": "expo"}, "$.backoff.kind",
         "expected one of exponential, fixed, linear, list, got 'expo'"),
        ("depends_on", 5, "$.depends_on", "Expected `array`, got `int`"),
        ("on_parent_failure", "explode", "$.on_parent_failure",
         "expected one of cancel, fail, run, wait, got 'explode'"),
        ("backof", {}, "$.backof", "Object contains unknown field `backof`"),
    ],
)  # fmt: skip
def test_the_value_that_came_is_shown(
    shared: Api, field: str, value: Any, path: str, message: str | None
) -> None:
    job = {"type": "a.job", field: value}
    one = problem(shared.client.post("/api/v1/jobs", json=job), 400)["errors"][0]
    assert one["path"] == path
    assert one["message"] == message or message is None
    batch = {"jobs": [{"type": "a.job"}, job]}
    told = problem(shared.client.post("/api/v1/jobs/batch", json=batch), 400)["errors"][0]
    assert told == one | {"path": path.replace("$", "$.jobs[1]", 1)}


def test_a_parameter_and_what_it_was(shared: Api) -> None:
    told = problem(shared.client.get("/api/v1/jobs", params={"limit": 0}), 400)
    assert told["detail"] == 'Expected `int` >= 1, got "0" (at $.limit).'


def test_a_long_value_is_cut(shared: Api) -> None:
    job = {"type": "a.job", "run_at": "x" * 1000}
    told = problem(shared.client.post("/api/v1/jobs", json=job), 400)["errors"][0]["message"]
    assert told.endswith("xxx…")
    assert len(told) < 150

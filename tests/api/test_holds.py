"""Holds over the API: placed, listed, released; retention heeds them (tests/projections)."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, problem

JOB = "0197a5c0-0000-7000-8000-000000000001"


def place(api: Api, **hold: Any) -> Any:
    return api.client.post("/api/v1/holds", json=hold)


def test_a_hold_is_placed_shown_and_released(api: Api) -> None:
    answered = place(api, name="case-7", tag="customer", actor="ada", reason="a letter")
    assert answered.status_code == 201
    hold = answered.json()
    assert hold.pop("placed_at").endswith("Z")
    assert hold == {
        "name": "case-7", "queue": None, "tag": "customer", "job": None, "actor": "ada",
        "reason": "a letter",
    }  # fmt: skip
    (shown,) = api.get("/holds")["items"]
    assert {key: shown[key] for key in hold} == hold
    assert api.client.post("/api/v1/holds/case-7/release").json() == {"name": "case-7"}
    assert api.get("/holds")["items"] == []
    problem(api.client.post("/api/v1/holds/case-7/release"), 404, "not-found")


def test_they_are_listed_page_by_page(api: Api) -> None:
    job = api.submit()
    for name in "cab":
        assert place(api, name=name, job=job).status_code == 201
    first = api.get("/holds", limit=2)
    rest = api.get("/holds", limit=2, cursor=first["next_cursor"])
    names = [hold["name"] for page in (first, rest) for hold in page["items"]]
    assert (names, rest["next_cursor"]) == (["a", "b", "c"], None)


def test_a_name_stands_for_one_hold(api: Api) -> None:
    api.submit(queue="emails")
    assert place(api, name="a", queue="emails").status_code == 201
    told = problem(place(api, name="a", tag="other"), 409, "conflict")
    assert told["errors"][0]["path"] == "$.name"
    assert api.get("/holds")["items"][0]["queue"] == "emails"


def test_what_is_not_there_cannot_be_held(api: Api) -> None:
    told = problem(place(api, name="a", queue="emials"), 404, "not-found")
    assert (told["errors"][0]["path"], told["errors"][0]["in"]) == ("$.queue", "body")
    problem(place(api, name="a", job=JOB), 404, "not-found")
    assert api.get("/holds")["items"] == []


@pytest.mark.parametrize(
    ("hold", "path"),
    [
        ({"name": "a"}, "$"),
        ({"name": "a", "queue": "q", "tag": "t"}, "$"),
        ({"name": "a", "job": "x"}, "$.job"),
        ({"name": "", "queue": "q"}, "$.name"),
        ({"queue": "q"}, "$.name"),
    ],
)
def test_a_hold_is_on_one_thing(api: Api, hold: dict[str, Any], path: str) -> None:
    told = problem(place(api, **hold), 400, "invalid-request")
    assert told["errors"][0]["path"] == path

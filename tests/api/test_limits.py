"""PATCH /queues/{queue}: limits are changed, told, and refused where they make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Api, Core, problem, until

BY = {"actor": "ada", "reason": "the provider asks for it"}


def patch(api: Api, queue: str, **body: Any) -> Any:
    return api.client.patch(f"/api/v1/queues/{queue}", json=body)


async def test_limits_are_set_changed_and_taken_away(api: Api, core: Core) -> None:
    answer = patch(
        api, "emails", **BY, concurrency_per_key=1,
        types={"email.send": {"rate": {"limit": 100, "per": 60}, "concurrency": 5}},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    limits = {
        "concurrency_per_key": 1,
        "types": {"email.send": {"rate": {"limit": 100, "per": 60.0}, "concurrency": 5}},
    }
    assert answer.json() == {"name": "emails", "limits": limits}
    changed = patch(api, "emails", aging=30, types={"email.send": {"concurrency": None}})
    del limits["types"]["email.send"]["concurrency"]  # pyright: ignore[reportIndexIssue]
    assert changed.json()["limits"] == {**limits, "aging": 30.0}
    assert api.get("/queues/emails")["limits"] == {**limits, "aging": 30.0}
    told = [(record.type, record.body) for record in await core.events("emails")]
    assert told[-1] == (
        "queue.configured",
        b'{"settings":{"aging":30.0,"types":{"email.send":{"concurrency":null}}}}',
    )
    assert b'"actor":"ada","reason":"the provider asks for it"' in told[0][1]


async def test_a_limit_holds_and_is_told(api: Api, core: Core, projector: None) -> None:
    patch(api, "default", types={"mail": {"concurrency": 1}})
    jobs = [api.submit(type="mail", rate_key="smtp") for _ in range(3)]
    assert len(await core.claim("default", 10)) == 1
    blocked = until(lambda: (j := api.get(f"/jobs/{jobs[1]}"))["blocked_on"] and j)
    assert (blocked["state"], blocked["rate_key"]) == ("blocked", "smtp")
    assert blocked["blocked_on"] == "concurrency of type mail"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"concurrency": 0}, "$.concurrency"),
        ({"concurrency": "many"}, "$.concurrency"),
        ({"rate": {"limit": 5, "per": 0}}, "$.rate.per"),
        ({"rate": {"limit": -1}}, "$.rate.limit"),
        ({"rate": {"limit": 1_000_000, "per": 0.5}}, "$.rate"),
        ({"rate": 5}, "$.rate"),
        ({"aging": 0}, "$.aging"),
        ({"types": {"a b": {"concurrency": 1}}}, "$"),
        ({"types": {"mail": {"concurency": 1}}}, "$.types[...].concurency"),
        ({"limit": 1}, "$.limit"),
        ({}, "$"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_path(
    api: Api, body: dict[str, Any], path: str
) -> None:
    answer = patch(api, "emails", **body)
    assert problem(answer, 400)["errors"][0]["path"] == path


def test_a_queue_must_have_a_name_that_can_be(api: Api) -> None:
    assert problem(patch(api, "Emails", concurrency=1), 400)["errors"][0]["path"] == "$.queue"

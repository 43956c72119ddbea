"""The pages of docs/ about submitting say what the API does: their examples are sent to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .conftest import Api, problem

DOCS = Path(__file__).parents[2] / "docs"


def examples(page: str) -> list[str]:
    return re.findall(r"```json\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def post(api: Api, body: str, **headers: str) -> Any:
    sent = {"content-type": "application/json"} | headers
    return api.client.post("/api/v1/jobs", content=body.encode(), headers=sent)


def test_unique_jobs(api: Api) -> None:
    report, index = examples("uniqueness.md")
    first, again = post(api, report), post(api, report)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["deduplicated"] is True
    first, again = post(api, index), post(api, index.replace('"…"', '"more"'))
    assert (first.status_code, again.status_code) == (201, 200)
    job = api.job(first.json()["id"], after=again.json()["position"])
    assert job["payload"]["text"] == "more"
    assert job["state"] == "scheduled"
    problem(post(api, index.replace("replace", "drop")), 400)


def test_requests_sent_again(api: Api) -> None:
    (body,) = examples("idempotency.md")
    page = (DOCS / "idempotency.md").read_text()
    (key,) = re.findall(r"Idempotency-Key: (\S+)", page)
    first, again = (post(api, body, **{"idempotency-key": key}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"deduplicated": True}
    other = post(api, body.replace("4711", "4712"), **{"idempotency-key": key})
    problem(other, 422, "idempotency-key-reused")


def test_what_an_answer_means(api: Api) -> None:
    (body,) = examples("guarantees.md")
    assert post(api, body).status_code == 201
    problem(post(api, body.replace("fsync", "archived")), 503, "level-not-available")
    problem(post(api, body.replace("fsync", "replicated")), 503, "level-not-available")

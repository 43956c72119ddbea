"""Schedules over HTTP: made, acted on and told."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec

from .conftest import Api, Core

URL = "/api/v1/schedules"

DAILY = {"name": "s", "type": "report", "cron": "0 3 * * *", "timezone": "Europe/Vienna"}


def make(api: Api, **given: Any) -> Any:
    response = api.client.post(URL, json=DAILY | given)
    assert response.status_code == 201, response.text
    return response.json()


def act(api: Api, verb: str, name: str = "s", **body: Any) -> httpx2.Response:
    return api.client.post(f"{URL}/{name}/{verb}", json=body)


def shown(api: Api, name: str = "s", **query: Any) -> Any:
    return api.get(f"/schedules/{name}", **query)


async def told(core: Core, partition: str = "default") -> list[tuple[str, Any]]:
    return [
        (record.type.removeprefix("schedule."), msgspec.json.decode(record.body))
        for record in await core.events(partition)
        if record.type.startswith("schedule.")
    ]

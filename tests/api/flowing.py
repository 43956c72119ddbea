"""Flows as tests make them, run them and hold them to their laws."""

from __future__ import annotations

import asyncio
from typing import Any

from millstream.core.joining import Joiner
from tests.invariants import check

from .conftest import DEADLINE, Api, Core


def post(api: Api, status: int = 201, path: str = "/flows", **body: Any) -> Any:
    response = api.client.post(f"/api/v1{path}", json=body)
    assert response.status_code == status, response.text
    return response.json()


def job(key: str | None = None, *parents: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "a.job", **fields}
    if key is not None:
        found["key"] = key
    if parents:
        found["depends_on"] = list(parents)
    return found


def ids_of(answer: Any) -> dict[str, str]:
    return {item["key"]: item["id"] for item in answer["items"]}


async def work(core: Core, *queues: str, fail: tuple[str, ...] = ()) -> list[str]:
    """Run all that may run until nothing does; the jobs in the order they ran."""
    joiner = Joiner(core.directory)
    ran: list[str] = []
    more = True
    while more:
        more = False
        for queue in queues or ("default",):
            for lease in await core.claim(queue, 1000):
                more = True
                ran.append(lease.id)
                await (core.fail if lease.id in fail else core.succeed)(lease)
            await joiner.deliver(queue)
        async with asyncio.timeout(DEADLINE):
            for queue in queues or ("default",):
                # The API looks there, too: whom it is about to tell of an end waits still.
                while await core.directory.queue(queue).outbox():
                    more = True
                    await asyncio.sleep(0.01)
    return ran


async def audit(api: Api, *queues: str, drained: bool = True) -> None:
    settings = api.app.state.settings
    (await check(settings.redis_url, queues or ("default",), drained=drained)).require()

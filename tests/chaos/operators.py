"""Operators who press what there is to press, at any time and beside each other."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio

from tests.audits.operations import Operation

from .client import Answer, Client
from .kinds import PERSONS

TICK = {
    "name": "tick", "type": "chaos.quick", "every": 1, "queue": "side", "catchup_limit": 100,
}  # fmt: skip
CONFLICT, NOT_FOUND = 409, 404


class Operator:
    """Does something at random to some job, to many, to a queue or to a schedule."""

    def __init__(self, client: Client, seed: str) -> None:
        self._client = client
        self._random = Random(f"operator {seed}")

    async def work(self, pause: float) -> None:
        """Press for ever, every `pause` seconds or so."""
        acts = (
            *(self._one, self._one, self._one, self._many, self._queue, self._schedule),
            self._person,
        )
        while True:
            await anyio.sleep(self._random.expovariate(1 / pause))
            if self._client.accepted:
                await self._random.choice(acts)()

    async def rest(self) -> None:
        """Leave everything running: no queue paused, no schedule left."""
        for queue in ("default", "side", "limited"):
            await self._insist("POST", f"/queues/{queue}/resume")
        await self._insist("DELETE", f"/schedules/{TICK['name']}")

    async def prepare(self, limits: dict[str, Any]) -> None:
        """Set the limits of the queue `limited`, and make the schedule."""
        await self._insist("PATCH", "/queues/limited", limits)
        await self._insist("POST", "/schedules", TICK)

    async def _insist(self, method: str, path: str, body: Any = None) -> None:
        while True:
            status, told = await self._client.ask(method, path, body)
            if status in (200, 201, CONFLICT, NOT_FOUND):
                return
            assert status in (0, 503), f"{method} {path}: {status} {told}"
            await anyio.sleep(0.3)

    async def _one(self) -> None:
        """Something to one job, mostly a recent one."""
        what = self._random.choice(["cancel", "retry", "reschedule", "discard"])
        recent = self._client.accepted[-500:]
        job = self._random.choice(recent)
        operation = self._client.diary.begin(what, [job])
        body: dict[str, Any] = {"actor": f"op-{operation.op}", "reason": "chaos"}
        if what == "reschedule":
            body["delay"] = self._random.choice([0, 0.5, 1])
        self._told(operation, await self._client.ask("POST", f"/jobs/{job}/{what}", body))

    async def _many(self) -> None:
        """An action on many jobs, sometimes only to know how many."""
        action = self._random.choice(["retry", "retry", "cancel", "discard", "reschedule"])
        kind = self._random.choice(["chaos.flaky", "chaos.fatal", "chaos.late", "chaos.quick"])
        dry = self._random.random() < 0.2
        operation = self._client.diary.begin("dry" if dry else "bulk")
        body: dict[str, Any] = {
            "action": action,
            "filter": {"type": kind},
            "limit": self._random.choice([1, 5, 20]),
            "dry_run": dry,
            "actor": f"op-{operation.op}",
        }
        if action == "retry":
            body |= self._random.choice([{}, {"canary": 2}, {"rate": 50}])
        if action == "reschedule":
            body["delay"] = 0.2
        answer = await self._client.ask("POST", "/jobs/actions", body)
        self._told(operation, answer)

    async def _queue(self) -> None:
        """Pause a queue for a moment."""
        queue = self._random.choice(["default", "side", "limited"])
        await self._client.ask("POST", f"/queues/{queue}/pause")
        await anyio.sleep(0.2)
        await self._client.ask("POST", f"/queues/{queue}/resume")

    async def _schedule(self) -> None:
        """Fire it now, or pause it for a moment."""
        path = f"/schedules/{TICK['name']}"
        if self._random.random() < 0.5:
            await self._client.ask("POST", f"{path}/fire")
            return
        await self._client.ask("POST", f"{path}/pause")
        await anyio.sleep(0.2)
        await self._client.ask("POST", f"{path}/resume")

    async def _person(self) -> None:
        """Erase a person."""
        body = {"subject": f"person-{self._random.randrange(PERSONS)}", "reason": "chaos"}
        status, told = await self._client.ask("POST", "/subjects/erase", body)
        if status not in (0, 200, 503, NOT_FOUND):
            self._client.diary.unexpected.append(f"an erasure: {status} {told}")

    def _told(self, operation: Operation, answer: Answer) -> None:
        status, told = answer
        diary = self._client.diary
        if status == 200:
            diary.told(operation, "ok", count=told.get("changed", 0), detail=str(told))
        elif status in (0, 503):
            diary.told(operation, "unknown")
        elif status in (CONFLICT, NOT_FOUND, 422):
            diary.told(operation, "failed", detail=str(told))
        else:
            diary.told(operation, "failed", detail=str(told))
            diary.unexpected.append(f"{operation.what}: {status} {told}")

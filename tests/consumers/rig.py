"""The pipeline of an attempt alone: one lease in, one verdict out, no server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from millstream.consumers import Registry
from millstream.consumers.attempts import Attempt
from millstream.consumers.executor import Executor
from millstream.consumers.runners import Runners
from millstream.consumers.slots import Slots
from millstream.consumers.stats import Stats
from millstream.consumers.threads import Threads
from millstream.core.codec import wrap
from millstream.core.events import JobSubmitted, body_of
from millstream.core.hot import Lease
from millstream.core.ids import new_id
from millstream.core.queue import Finish


class Rig:
    """Slots, runners and an executor; verdicts arrive in `finishes`."""

    def __init__(self, registry: Registry, slots: int = 4, missing_after: float = 3600) -> None:
        self.finishes: dict[str, Finish] = {}
        self.arrived = asyncio.Event()
        self.stats = Stats()
        self.slots = Slots(slots)
        self.executor = Executor(registry, self.deliver, Threads(slots), self.stats, missing_after)
        self.runners = Runners(self.slots, self.executor.execute)

    def deliver(self, attempt: Attempt, finish: Finish) -> None:
        assert finish.id not in self.finishes, "two verdicts on one attempt"
        self.finishes[finish.id] = finish
        self.arrived.set()

    def start(self, type: str, payload: Any = None, *, spec: JobSubmitted | None = None,
              **lease: Any) -> Attempt:  # fmt: skip
        spec = spec or JobSubmitted(type, payload=wrap(payload))
        now = time.time_ns() // 1_000_000
        given: dict[str, Any] = {"partition": "default", "id": new_id("default"), "fence": 2}
        given |= {"attempt": 1, "crashes": 0, "now": now, "spec": body_of(spec)} | lease
        attempt = Attempt(Lease(**given), time.monotonic())
        self.slots.take([attempt])
        self.runners.put([attempt])
        return attempt

    async def verdict(self, attempt: Attempt) -> Finish:
        async with asyncio.timeout(60):
            while attempt.lease.id not in self.finishes:
                self.arrived.clear()
                await self.arrived.wait()
        return self.finishes[attempt.lease.id]

    async def run(self, type: str, payload: Any = None, **given: Any) -> Finish:
        return await self.verdict(self.start(type, payload, **given))


def body(finish: Finish) -> dict[str, Any]:
    return msgspec.json.decode(finish.body)


def end(finish: Finish) -> dict[str, Any]:
    return msgspec.json.decode(finish.end)

"""What tests of durable steps ask of a job."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.consumers import Backoff
from tests.invariants import check

from .conftest import Bench

SOON = Backoff(kind="fixed", delay=0.02, jitter=0)


async def fault_of(bench: Bench, job: str) -> dict[str, Any]:
    """Why the last attempt of an ended job failed."""
    history = await bench.history(job)
    failed = [one for one in history if one.type == "job.attempt_failed"]
    return msgspec.json.decode(failed[-1].body)["error"]


async def steps_of(bench: Bench, job: str) -> list[str]:
    """The steps in the history of a job, in order."""
    found = [one for one in await bench.history(job) if one.type == "job.checkpointed"]
    return [msgspec.json.decode(one.body)["step"] for one in found]


async def sound(bench: Bench, *queues: str) -> None:
    (await check(bench.url, queues or ("default",))).require()

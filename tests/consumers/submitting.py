"""What tests of jobs that submit others ask of both."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.consumers import Backoff

from .conftest import Bench

LATER = Backoff(kind="fixed", delay=0.1, jitter=0)


class Mail(msgspec.Struct):
    to: str


async def spec_of(bench: Bench, job: str, queue: str = "default") -> dict[str, Any]:
    return msgspec.json.decode((await bench.history(job, queue))[0].body)


async def made(bench: Bench, queue: str = "default", type: str = "mail") -> list[str]:
    """Ids of the jobs of a type that were ever submitted to a queue."""
    records = await bench.queue_log(queue)
    return [r.job for r in records if r.type == "job.submitted" and f'"{type}"' in r.body.decode()]

"""Submitting the plan and collecting what became of it, all over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

import httpx2
import msgspec

from ...core.events import Record, parse_position
from ..client import problem_text
from .plan import Planned
from .stage import DemoError

_POLL_SECONDS = 0.1
_AT_ONCE = 16
_BATCH = 100
_LIVE = ("scheduled", "queued", "blocked", "running", "retrying")


class EventShown(msgspec.Struct):
    """An event as the API tells it."""

    position: str
    time: datetime
    type: str
    job_id: str | None
    version: int
    body: msgspec.Raw

    def record(self) -> Record:
        """The entry of the log it was made from (without its stream id)."""
        partition, epoch, seq = parse_position(self.position)
        ms = round(self.time.timestamp() * 1000)
        job, body = self.job_id or "", bytes(self.body)
        return Record(partition, seq, epoch, self.type, job, self.version, body, ms, "")


class _History(msgspec.Struct):
    items: list[EventShown]
    next_cursor: str | None


class Outcome(msgspec.Struct):
    """A planned job, the job as the API shows it at the end, and its history."""

    planned: Planned
    job: dict[str, Any]
    history: list[EventShown]


class Session:
    """One client of one API."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.ids: list[str] = []

    async def submit(self, plan: Sequence[Planned]) -> None:
        """The jobs of the plan: queries in batches, everything else one by one."""
        batched = [planned.body for planned in plan if planned.kind == "query"]
        single = [planned.body for planned in plan if planned.kind != "query"]
        for start in range(0, len(batched), _BATCH):
            jobs = batched[start : start + _BATCH]
            answer = await self._post("/jobs/batch", {"jobs": jobs})
            self.ids += [item["id"] for item in answer["items"]]
        answers = await _gather([self._post("/jobs", body) for body in single])
        self.ids += [answer["id"] for answer in answers]

    async def cancel(self, job: str) -> None:
        """Cancel a job that waits."""
        by = {"actor": "demo", "reason": "to show how a job is cancelled"}
        await self._post(f"/jobs/{job}/cancel", by)

    async def progress(self, jobs: int, seconds: float) -> AsyncGenerator[dict[str, int]]:
        """Counts by state, again and again until `jobs` jobs have ended. Raises DemoError."""
        deadline = time.monotonic() + seconds
        while True:
            counts: dict[str, int] = (await self.summary())["by_state"]
            yield counts
            total = sum(counts.values())
            if total >= jobs and not any(counts[state] for state in _LIVE):
                return
            if time.monotonic() > deadline:
                raise DemoError(f"not all jobs ended within {seconds:g} s: {counts}")
            await asyncio.sleep(_POLL_SECONDS)

    async def summary(self) -> dict[str, Any]:
        """`stats/summary`, which the API reads from PostgreSQL."""
        return msgspec.json.decode(await self._get("/jobs/stats/summary"))

    async def outcomes(self, plan: Sequence[Planned]) -> list[Outcome]:
        """Every job with its history, read back."""
        return await _gather(
            [self._outcome(one, job) for one, job in zip(plan, self.ids, strict=True)]
        )

    async def _outcome(self, planned: Planned, job: str) -> Outcome:
        shown = msgspec.json.decode(await self._get(f"/jobs/{job}"))
        history = msgspec.json.decode(await self._get(f"/jobs/{job}/events"), type=_History)
        return Outcome(planned, shown, history.items)

    async def _get(self, path: str) -> bytes:
        return _checked(await self._client.get(path))

    async def _post(self, path: str, body: object) -> Any:
        return msgspec.json.decode(_checked(await self._client.post(path, json=body)))


def _checked(answer: httpx2.Response) -> bytes:
    if not answer.is_success:
        raise DemoError(problem_text(answer.status_code, answer.content))
    return answer.content


async def _gather(calls: Sequence[Any]) -> list[Any]:
    """Results in order, a few calls at a time."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Any) -> Any:
        async with free:
            return await call

    return await asyncio.gather(*map(one, calls))

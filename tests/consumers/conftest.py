"""A queue on a real server, and workers on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from millstream.consumers import Registry
from millstream.consumers.worker import Worker
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.connection import connect
from millstream.core.events import JobSubmitted, Record
from millstream.core.ids import new_id
from millstream.core.keys import Keys
from millstream.core.log import LogReader
from millstream.core.queue import Directory, PartitionQueue, new_job


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Wait for a condition; fails after `seconds`, which no machine needs that only is busy."""
    ends = time.monotonic() + seconds
    while True:
        answer = holds()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        assert time.monotonic() < ends, f"expected within {seconds} s: {holds}"
        await asyncio.sleep(0.005)


class Bench:
    """What a test does to a namespace: submit, read the log, start workers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = Keys("ms")
        self.redis = connect(url, timeout=60)  # a handler may block the loop for seconds
        self.directory = Directory(self.redis, self.keys)
        self.workers: list[Worker] = []

    @property
    def queue(self) -> PartitionQueue:
        return self.directory.queue("default")

    def settings(self, **given: Any) -> Settings:
        base: dict[str, Any] = {"redis_url": self.url, "lease": 10.0, "sweep": 0.2, "grace": 2.0,
                "command_timeout": 1.0, "concurrency": 8}  # fmt: skip
        base |= given
        return Settings(**base, explicit=frozenset(base))

    async def submit(self, type: str, payload: Any = None, **spec: Any) -> str:
        return (await self.submit_many(type, [payload], **spec))[0]

    async def submit_many(self, type: str, payloads: list[Any], **spec: Any) -> list[str]:
        queue = spec.pop("queue", "default")
        await self.directory.register(queue)
        jobs = [
            new_job(new_id(queue), JobSubmitted(type, payload=wrap(payload), **spec))
            for payload in payloads
        ]
        await self.directory.queue(queue).submit(jobs)
        return [job.id for job in jobs]

    async def worker(self, registry: Registry, **settings: Any) -> Worker:
        worker = Worker(self.settings(**settings), registry)
        self.workers.append(worker)
        await worker.start()
        return worker

    async def queue_log(self, queue: str = "default") -> list[Record]:
        return list(await LogReader(self.redis, self.keys).range(queue, count=100_000))

    async def history(self, job: str, queue: str = "default") -> list[Record]:
        return [record for record in await self.queue_log(queue) if record.job == job]

    async def types(self, job: str, queue: str = "default") -> list[str]:
        """The job's events, without the prefix ``job.``."""
        return [record.type.removeprefix("job.") for record in await self.history(job, queue)]

    async def last(self, job: str) -> dict[str, Any]:
        """The body of the job's last event."""
        return msgspec.json.decode((await self.history(job))[-1].body)

    async def ended(self, job: str, seconds: float = 60, queue: str = "default") -> list[str]:
        """Wait for the job's end; its events."""

        async def over() -> bool:
            return (await self.types(job, queue))[-1] in ("succeeded", "failed", "cancelled")

        await until(over, seconds)
        return await self.types(job, queue)

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
        await self.redis.aclose()


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    bench = Bench(redis_url)
    yield bench
    await bench.close()


@pytest.fixture
def registry() -> Registry:
    return Registry()


class Calls:
    """Functions that note their calls."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def once(self, name: str, result: Any = None) -> Any:
        self.made.append(name)
        return result


@pytest.fixture
def calls() -> Calls:
    return Calls()

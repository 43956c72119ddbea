"""Verdicts are joined, kept through an outage, and refused ones are only counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from millstream.consumers.attempts import Attempt
from millstream.consumers.committer import Committer
from millstream.consumers.slots import Slots
from millstream.consumers.stats import Stats
from millstream.core.embedded import Valkey
from millstream.core.queue import CHEAP_BATCH, Finish, PartitionQueue

from .conftest import Bench, until


class CountingQueue(PartitionQueue):
    """Notes how many verdicts each call had; can break one of them."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.redis, "default", bench.keys)
        self.sizes: list[int] = []
        self.choke_on: str | None = None

    async def finish(self, verdicts: Sequence[Finish]) -> list[bool]:
        self.sizes.append(len(verdicts))
        if any(verdict.id == self.choke_on for verdict in verdicts):
            raise TypeError("that one cannot be sent")
        return await super().finish(verdicts)


class Rig:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.queue = CountingQueue(bench)
        self.slots = Slots(1000)
        self.stats = Stats()
        self.committer = Committer(self.queue, self.slots, self.stats)

    async def lease(self, count: int) -> list[Attempt]:
        await self.bench.submit_many("t", [None] * count)
        claim = await self.queue.claim("w-1", count)
        attempts = [Attempt(lease, time.monotonic()) for lease in claim.leases]
        self.slots.take(attempts)
        return attempts

    def succeed(self, attempts: Sequence[Attempt], fence: int = 0) -> None:
        for attempt in attempts:
            lease = attempt.lease
            self.committer.add(attempt, Finish(lease.id, lease.fence + fence, "succeeded", b"{}"))


@asynccontextmanager
async def running(bench: Bench) -> AsyncGenerator[Rig]:
    rig = Rig(bench)
    task = asyncio.create_task(rig.committer.run())
    yield rig
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_verdicts_given_at_once_go_in_one_call_and_later_ones_gather(bench: Bench) -> None:
    async with running(bench) as rig:
        attempts = await rig.lease(60)
        rig.succeed(attempts[:20])
        await until(lambda: len(rig.queue.sizes) == 1)
        for attempt in attempts[20:]:  # while that call is on its way
            rig.succeed([attempt])
        async with asyncio.timeout(60):
            await rig.committer.flushed()
    assert rig.queue.sizes == [20, 40]
    assert rig.stats.accepted == 60
    assert not rig.slots.held


async def test_a_large_backlog_goes_in_bounded_calls(bench: Bench) -> None:
    async with running(bench) as rig:
        rig.succeed(await rig.lease(2 * CHEAP_BATCH + 50))
        async with asyncio.timeout(60):
            await rig.committer.flushed()
    assert rig.queue.sizes == [CHEAP_BATCH, CHEAP_BATCH, 50]
    assert rig.stats.accepted == 2 * CHEAP_BATCH + 50


async def test_an_overtaken_lease_is_refused_and_counted(bench: Bench) -> None:
    async with running(bench) as rig:
        attempts = await rig.lease(2)
        rig.succeed(attempts[:1])
        rig.succeed(attempts[1:], fence=-1)
        async with asyncio.timeout(60):
            await rig.committer.flushed()
    assert (rig.stats.accepted, rig.stats.refused) == (1, 1)
    assert not rig.slots.held


async def test_verdicts_outlast_an_outage(bench: Bench, valkey_server: Valkey) -> None:
    async with running(bench) as rig:
        attempts = await rig.lease(3)
        await asyncio.to_thread(valkey_server.stop)
        rig.succeed(attempts)
        await until(lambda: len(rig.queue.sizes) >= 2)
        assert len(rig.slots.held) == 3
        await asyncio.to_thread(valkey_server.start)
        async with asyncio.timeout(60):
            await rig.committer.flushed()
    assert rig.stats.accepted == 3
    for attempt in attempts:
        assert (await bench.types(attempt.lease.id))[-1] == "succeeded"


async def test_verdicts_outlast_a_server_that_takes_no_writes(bench: Bench) -> None:
    async with running(bench) as rig:
        attempts = await rig.lease(3)
        await bench.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            rig.succeed(attempts)
            await until(lambda: len(rig.queue.sizes) >= 2)
            assert len(rig.slots.held) == 3
        finally:
            await bench.redis.execute_command("REPLICAOF", "NO", "ONE")
        async with asyncio.timeout(10):
            await rig.committer.flushed()
    assert (rig.stats.accepted, rig.stats.dropped) == (3, 0)


async def test_one_verdict_that_cannot_be_sent_does_not_hold_up_the_others(bench: Bench) -> None:
    async with running(bench) as rig:
        attempts = await rig.lease(5)
        rig.queue.choke_on = attempts[2].lease.id
        rig.succeed(attempts)
        async with asyncio.timeout(60):
            await rig.committer.flushed()
    assert (rig.stats.accepted, rig.stats.dropped) == (4, 1)
    assert not rig.slots.held

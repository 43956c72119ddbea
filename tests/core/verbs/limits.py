"""Limits of a queue, and jobs that run against them."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from millstream.core import events as ev
from millstream.core.hot import Lease
from millstream.core.limits import QueueLimits, bounds_of, changed

from .mill import Mill


async def limit(mill: Mill, **limits: Any) -> None:
    """Change limits, in the words of the API."""
    wanted = msgspec.convert(limits, QueueLimits)
    await mill.queue.configure(
        ev.QueueConfigured("ada", "test", changed(wanted)), bounds_of(wanted)
    )


async def end(mill: Mill, leases: list[Lease]) -> None:
    for lease in leases:
        assert await mill.finish(lease, "succeeded")


def ids(leases: list[Lease]) -> list[str]:
    return [lease.id for lease in leases]


async def run_all(mill: Mill) -> list[str]:
    """Claim and finish until nothing comes; the ids in the order they ran."""
    ran: list[str] = []
    while leases := await mill.claim():
        ran += ids(leases)
        await end(mill, leases)
    return ran


async def until(mill: Mill, at: int) -> None:
    """Wait for the server's clock."""
    while (now := await mill.now()) < at:
        await anyio.sleep((at - now) / 1000)


async def come(mill: Mill, at: int) -> None:
    """Let the time come that is `at` by the server's clock."""
    await mill.let_pass(at - await mill.now())


async def starts_of(mill: Mill, count: int) -> list[int]:
    """Work, as a worker that waits for what each claim says is due next, until `count` ran."""
    while True:
        claim = await mill.queue.claim("w1", 100)
        await end(mill, claim.leases)
        starts = [r.time for r in await mill.log() if r.type == "job.started"]
        if len(starts) >= count:
            return starts
        if not claim.leases:
            assert claim.next_due > 0, "a worker must know when to look again"
            await until(mill, claim.next_due)

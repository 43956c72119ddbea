"""What other workers run, as far as their reports tell."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millstream.consumers import elsewhere as module
from millstream.consumers.elsewhere import Elsewhere
from millstream.consumers.parts import end
from millstream.core.embedded import Valkey
from millstream.core.workers import KEPT, Report, Workers

from .conftest import Bench, until


def report(name: str, **fields: Any) -> Report:
    given: dict[str, Any] = {"queues": ["default"], "types": ["fresh"], **fields}
    return Report(name=name, host="h", pid=7, started_at=0, concurrency=1, **given)


@pytest.mark.parametrize(
    ("others", "known"),
    [
        ([report("b")], True),
        ([report("b", queues=["default", "x"]), report("c", types=[])], True),
        ([report("a")], False),
        ([report("b", types=["other"])], False),
        ([report("b", queues=["x"])], False),
        ([report("b", draining=True)], False),
        ([], False),
    ],
)
async def test_another_that_serves_a_queue_of_mine(
    bench: Bench, others: list[Report], known: bool
) -> None:
    workers = Workers(bench.redis, bench.keys)
    for one in others:
        await workers.report(one)
    elsewhere = Elsewhere(workers, "a", lambda: ["default"])
    assert elsewhere.knows("fresh") is None, "nobody has asked before"
    running = asyncio.create_task(elsewhere.run())
    await until(lambda: elsewhere.knows("fresh") is known)
    await end([running])


async def test_what_was_read_is_soon_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, valkey_server: Valkey
) -> None:
    monkeypatch.setattr(module, "FRESH", 0.05)
    workers = Workers(bench.redis, bench.keys)
    await workers.report(report("b"))
    elsewhere = Elsewhere(workers, "a", lambda: ["default"])
    running = asyncio.create_task(elsewhere.run())
    await until(lambda: elsewhere.knows("fresh") is True)
    await bench.redis.pexpire(bench.keys.worker("b"), round((KEPT - 60) * 1000))
    await until(lambda: elsewhere.knows("fresh") is False)
    await asyncio.to_thread(valkey_server.stop)
    await until(lambda: elsewhere.knows("fresh") is None)
    await asyncio.to_thread(valkey_server.start)
    await end([running])

"""Waiting for the projection, and for jobs to end, at the price of one query for all."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.core.embedded import Postgres
from millstream.core.ids import new_ids
from millstream.core.queue import Finish, new_job
from millstream.projections import changes as module
from millstream.projections.changes import Changes
from tests.projections.stage import Log, projecting, until
from tests.strategies import job_id

SUBMITTED = ev.JobSubmitted("t")
DONE = ev.body_of(ev.JobSucceeded())


async def submit(log: Log, count: int) -> list[str]:
    await log.redis.sadd(log.keys.queues, log.partition)
    ids = list(new_ids(log.partition, count))
    await log.queue.submit([new_job(job, SUBMITTED) for job in ids])
    return ids


async def finish(log: Log, count: int) -> None:
    leases = (await log.queue.claim("w", count)).leases
    await log.queue.finish([Finish(one.id, one.fence, "succeeded", DONE) for one in leases])


async def test_a_position_is_waited_for(settings: Settings, log: Log) -> None:
    async with Changes(settings) as changes, projecting(settings):
        waiting = asyncio.create_task(changes.wait_position("default", 1, 3, 60))
        await submit(log, 2)
        await until(lambda: changes.wait_position("default", 1, 2, 0.01))
        assert not waiting.done()
        await submit(log, 1)
        assert await waiting
        assert await changes.wait_position("default", 1, 1, 0)
        assert not await changes.wait_position("default", 2, 1, 0.05)


async def test_what_was_passed_long_ago_is_known(
    settings: Settings, log: Log, pool: asyncpg.Pool
) -> None:
    async with projecting(settings):
        await submit(log, 1)
        await until(lambda: pool.fetchval("SELECT seq = 1 FROM checkpoints"))
    async with Changes(settings) as changes:
        assert await changes.wait_position("default", 1, 1, 60)


async def test_an_end_is_waited_for(settings: Settings, log: Log) -> None:
    async with Changes(settings) as changes, projecting(settings):
        (job,) = await submit(log, 1)
        waiting = [asyncio.create_task(changes.wait_terminal(job, 60)) for _ in range(2)]
        assert not await changes.wait_terminal(job, 0.05)
        await finish(log, 1)
        assert await asyncio.gather(*waiting) == [True, True]
        assert await changes.wait_terminal(job, 60), "also when it has ended already"


async def test_a_notification_tells(
    settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Changes(settings) as changes, projecting(settings):
        monkeypatch.setattr(module, "POLL_EVERY", 3600.0)
        for _ in range(9):
            (job,) = await submit(log, 1)
            waiting = asyncio.create_task(changes.wait_terminal(job, 60))
            await finish(log, 1)
            assert await waiting, "no poll comes in that time"


async def test_without_notifications_it_asks(
    settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream.projections.changes.CHANNEL", "nobody_speaks_here")
    async with Changes(settings) as changes, projecting(settings):
        (job,) = await submit(log, 1)
        await finish(log, 1)
        assert await changes.wait_terminal(job, 60)
        assert await changes.wait_position("default", 1, 3, 60)


async def test_all_who_wait_cost_one_query(
    settings: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    look = Changes._look

    async def counted(self: Changes, connection: Any) -> None:
        asked.append(len(self._for_end))
        await look(self, connection)

    monkeypatch.setattr(Changes, "_look", counted)
    async with Changes(settings) as changes, projecting(settings):
        jobs = await submit(log, 500)
        waiting = [asyncio.create_task(changes.wait_terminal(job, 60)) for job in jobs]
        await until(lambda: asyncio.sleep(0, 500 in asked))
        asked.clear()
        await finish(log, 500)
        assert all(await asyncio.gather(*waiting))
    assert len(asked) < 50
    assert changes._for_end == {}


async def test_what_is_no_id_spoils_nothing(settings: Settings) -> None:
    async with Changes(settings) as changes:
        assert not await changes.wait_terminal("no id", 20)
        assert not await changes.wait_terminal(job_id(1), 0.3)


async def test_goes_on_when_postgres_is_back(
    settings: Settings, log: Log, postgres_server: Postgres
) -> None:
    async with Changes(settings) as changes, projecting(settings):
        (job,) = await submit(log, 1)
        assert await changes.wait_position("default", 1, 1, 60)
        waiting = asyncio.create_task(changes.wait_terminal(job, 60))
        postgres_server.kill()
        await finish(log, 1)
        await asyncio.to_thread(postgres_server.start)
        assert await waiting


async def test_while_postgres_is_down_the_time_runs_out(settings: Settings) -> None:
    changes = Changes(Settings(postgres_dsn="postgresql://x@127.0.0.1:1/x"))
    async with changes:
        assert not await changes.wait_position("default", 1, 1, 0.05)

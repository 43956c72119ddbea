"""discard: a failed job is a dead letter no more; of two who press at once one does it."""

from __future__ import annotations

import asyncio

import pytest

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.upcast import decode

from .mill import Mill
from .test_redrive import failed


async def test_it_is_an_event_and_nothing_else(mill: Mill) -> None:
    job = await failed(mill)
    assert await mill.discard(job, 4, "c1") == "discarded"
    told = (await mill.log(job))[-1]
    assert (told.version, decode(told)) == (5, ev.JobDiscarded("ada", "test", "c1"))
    assert not await mill.lives(job)
    assert await mill.claim() == []


async def test_whoever_read_an_older_end_is_stale(mill: Mill) -> None:
    job = await failed(mill)
    assert await mill.discard(job, 4) == "discarded"
    assert await mill.discard(job, 4) == "stale"
    assert await mill.redrive(job, 4) == "stale"
    assert await mill.redrive(job, 5) == "queued"
    assert await mill.discard(job, 5) == "live"
    (lease,) = await mill.claim()
    assert await mill.discard(job, 5) == "live"
    assert await mill.finish(lease, "failed")  # redriven 6, started 7, attempt failed 8, failed 9
    assert await mill.discard(job, 5) == "stale"
    assert await mill.discard(job, 9) == "discarded"


async def test_a_redrive_between_reading_and_discarding_wins(mill: Mill) -> None:
    job = await failed(mill)
    assert await mill.redrive(job, 4) == "queued"
    assert await mill.discard(job, 4) == "live"


async def test_pressed_many_times_at_once_each_job_is_discarded_once(mill: Mill) -> None:
    jobs = [(await failed(mill), 4) for _ in range(5)]
    by = ev.JobDiscarded("ada", "test")
    found = await asyncio.gather(*(mill.queue.discard(jobs, by) for _ in range(4)))
    assert sorted(reply for replies in found for reply in replies) == (
        ["discarded"] * 5 + ["stale"] * 15
    )
    assert sum(one.type == "job.discarded" for one in await mill.log()) == 5
    assert await mill.queue.discard([], by) == []


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    job = await failed(mill)
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.discard(job, 4)


async def test_an_end_is_remembered_until_an_hour_after_it_is_archived(redis_url: str) -> None:
    mill = Mill(redis_url)
    job, other = await failed(mill), await failed(mill)
    assert await mill.discard(job, 4) == "discarded"
    assert await mill.redrive(other, 4) == "queued"
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "failed")
    last = {one.job: one for one in await mill.log()}
    for id in (job, other):
        gone = f"{{ms:default}}:gone:{id}"
        await mill.queue.trim(last[id].seq - 1, 1)
        assert await mill.redis.pttl(gone) == -1, "however far the tables are behind"
        await mill.queue.trim(last[id].seq, 1)
        assert 0 < await mill.redis.pttl(gone) <= 3_600_000, "who read before that may come yet"
        assert await mill.redrive(id, 4) == "stale"
    assert await mill.redis.exists("{ms:default}:gone") == 0
    assert await mill.redrive(job, 5) == "queued"
    (await mill.close()).require()

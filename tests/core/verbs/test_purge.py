"""purge: waiting jobs are cancelled part by part; running ones stay."""

from __future__ import annotations

import pytest
from redis import exceptions

from millstream.core.errors import LogLost
from millstream.core.events import QueueConfigured
from millstream.core.jobs import JobState
from millstream.core.operating import PURGEABLE

from .mill import ADA, Mill


async def purge(mill: Mill, *states: JobState, limit: int = 500) -> list[int]:
    """Purge to the end; how many jobs each call cancelled."""
    counts: list[int] = []
    cursor = ""
    while not counts or cursor:
        cursor, count = await mill.queue.purge(ADA, cursor, states or PURGEABLE, limit)
        counts.append(count)
    return counts


async def purged(mill: Mill) -> list[bytes]:
    return [one.body for one in await mill.log("") if one.type == "queue.purged"]


async def test_all_that_wait_are_cancelled_and_running_ones_stay(mill: Mill) -> None:
    running = await mill.started()
    retrying = await mill.started()
    await mill.finish(retrying, "retry", delay_ms=60_000)
    scheduled = await mill.submit(delay_ms=60_000)
    queued = await mill.submit(2) + await mill.submit(priority=0)
    assert await mill.queue.purgeable() == 5
    assert sum(await purge(mill)) == 5
    assert await mill.queue.purgeable() == 0
    for job in [*scheduled, *queued]:
        assert await mill.story(job) == ["submitted", "cancelled"]
        assert (await mill.log(job))[-1].body == b'{"actor":"ada","reason":"test"}'
    assert await mill.story(retrying.id) == ["submitted", "started", "attempt_failed", "cancelled"]
    assert await mill.finish(running, "succeeded")
    assert await mill.claim() == []


async def test_each_call_tells_how_many(mill: Mill) -> None:
    await mill.submit(2, delay_ms=60_000)
    await mill.submit(3)
    await purge(mill)
    assert await purged(mill) == [
        b'{"actor":"ada","reason":"test","count":2}',
        b'{"actor":"ada","reason":"test","count":3}',
    ]


async def test_nothing_to_purge_is_no_event(mill: Mill) -> None:
    running = await mill.started()
    before = await mill.log()
    assert sum(await purge(mill)) == 0
    assert await mill.log() == before
    assert await mill.finish(running, "succeeded")


@pytest.mark.parametrize("state", sorted(PURGEABLE))
async def test_only_of_a_state(mill: Mill, state: JobState) -> None:
    retrying = await mill.started()
    await mill.finish(retrying, "retry", delay_ms=60_000)
    await mill.queue.configure(QueueConfigured(), {"c:single": "1"})
    await mill.submit(type="single")
    blocked = (await mill.submit(type="single"))[0]
    assert len(await mill.claim()) == 1
    jobs = {
        JobState.BLOCKED: blocked,
        JobState.RETRYING: retrying.id,
        JobState.SCHEDULED: (await mill.submit(delay_ms=60_000))[0],
        JobState.QUEUED: (await mill.submit())[0],
    }
    assert await mill.queue.purgeable([state]) == 1
    assert sum(await purge(mill, state)) == 1
    assert [job for job in jobs.values() if not await mill.lives(job)] == [jobs[state]]
    assert await mill.queue.purgeable(PURGEABLE - {state}) == 3


@pytest.mark.parametrize("mill", ["server"], indirect=True)
async def test_a_call_is_bounded(mill: Mill) -> None:
    await mill.submit(1000, delay_ms=60_000)
    await mill.submit(500)
    await mill.submit(500, priority=7)
    counts = await purge(mill, limit=100)
    assert sum(counts) == 2000
    # Scanning a sorted set is by buckets: a few more at a time than were asked for.
    assert max(counts) < 200
    assert len(counts) > 10


async def test_counting_looks_through_those_that_wait_for_a_time(mill: Mill) -> None:
    await mill.submit(700, delay_ms=60_000)
    before = await mill.log()
    assert await mill.queue.purgeable([JobState.SCHEDULED]) == 700
    assert await mill.queue.purgeable([JobState.RETRYING]) == 0
    assert await mill.queue.purgeable([]) == 0
    assert await mill.log() == before


async def test_jobs_that_come_meanwhile_stay(mill: Mill) -> None:
    await mill.submit(4)
    cursor, count = await mill.queue.purge(ADA, "", PURGEABLE, 2)
    assert (cursor[:6], count) == ("ready:", 0)
    began = await mill.now()
    while await mill.now() == began:
        pass
    await mill.submit(3)
    counts: list[int] = []
    while cursor:
        cursor, count = await mill.queue.purge(ADA, cursor, PURGEABLE, 2)
        counts.append(count)
    assert counts == [2, 2, 0]
    assert len(await mill.claim()) == 3


async def test_an_entry_without_a_job_is_taken_away(mill: Mill) -> None:
    await mill.submit()
    lane = mill.keys.ready("default", 5)
    await mill.redis.xadd(lane, {"job": "ghost"})
    assert sum(await purge(mill)) == 1
    assert await mill.redis.xlen(lane) == 0


async def test_a_purged_job_is_redriven(mill: Mill) -> None:
    (job,) = await mill.submit()
    await purge(mill)
    assert await mill.redrive(job, 2) == "queued"
    assert sum(await purge(mill)) == 1
    assert await mill.redrive(job, 2) == "stale"


@pytest.mark.parametrize("cursor", ["soon", "due:", "due:x", "else:1", "ready:-1"])
async def test_a_cursor_it_never_gave_is_refused(mill: Mill, cursor: str) -> None:
    await mill.submit()
    with pytest.raises(exceptions.ResponseError, match="INVALID cursor"):
        await mill.queue.purge(ADA, cursor)


async def test_a_lost_group_does_not_stop_it_halfway(mill: Mill) -> None:
    await mill.submit(3)
    await mill.lose_group()
    assert await mill.queue.purgeable() == 3
    assert sum(await purge(mill)) == 3
    mill.broken |= {"group-missing"}


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.submit()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await purge(mill)

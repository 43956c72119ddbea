"""promote: jobs whose time has come are queued, also while nobody claims."""

from __future__ import annotations

import pytest

from millstream.core.errors import LogLost

from .mill import Mill


async def due(mill: Mill, *jobs: str, at: int = 1) -> None:
    """Let the time of waiting jobs have come."""
    await mill.redis.zadd(mill.keys.due("default"), dict.fromkeys(jobs, at), xx=True)


async def test_nothing_waits(mill: Mill) -> None:
    assert await mill.queue.promote() == (0, 0)
    assert await mill.bell() == 0


async def test_not_before_its_time(mill: Mill) -> None:
    at = await mill.now() + 60_000
    (job,) = await mill.submit(run_at=at)
    assert await mill.queue.promote() == (0, at)
    assert await mill.story(job) == ["submitted"]


async def test_due_jobs_are_queued_and_the_bell_rings(mill: Mill) -> None:
    one, other = await mill.submit(2, delay_ms=60_000)
    await due(mill, one)
    await mill.mute()
    count, next_due = await mill.queue.promote()
    assert count == 1
    assert next_due > await mill.now()
    assert await mill.bell() == 1
    assert (await mill.log(one))[-1].body == b'{"cause":"due"}'
    assert await mill.story(other) == ["submitted"]
    assert [(lease.id, lease.fence) for lease in await mill.claim()] == [(one, 3)]


async def test_a_retry_is_queued_for_that_cause(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "retry", delay_ms=60_000)
    await due(mill, lease.id)
    assert await mill.queue.promote() == (1, 0)
    assert (await mill.log(lease.id))[-1].body == b'{"cause":"retry"}'


async def test_the_sooner_first_and_no_more_than_asked_for(mill: Mill) -> None:
    jobs = await mill.submit(5, delay_ms=60_000)
    for n, job in enumerate(reversed(jobs)):
        await due(mill, job, at=n + 1)
    assert await mill.queue.promote(2) == (2, 3)
    assert await mill.queue.promote(2) == (2, 5)
    assert [lease.id for lease in await mill.claim(10)] == jobs[:0:-1] + jobs[:1]


async def test_an_expired_job_fails_instead(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000, expires_at=await mill.now() - 1)
    await due(mill, job)
    assert await mill.queue.promote() == (1, 0)
    assert await mill.story(job) == ["submitted", "failed"]
    assert (await mill.log(job))[-1].body == b'{"reason":"expired"}'


async def test_priorities_hold_for_promoted_jobs(mill: Mill) -> None:
    (low,) = await mill.submit(delay_ms=60_000, priority=8)
    (high,) = await mill.submit(delay_ms=60_000, priority=0)
    await due(mill, low, high)
    assert await mill.queue.promote() == (2, 0)
    assert [lease.id for lease in await mill.claim()] == [high, low]


async def test_what_has_no_job_any_more_is_forgotten(mill: Mill) -> None:
    await mill.redis.zadd(mill.keys.due("default"), {"ghost": 1})
    await mill.queue.promote()
    assert await mill.queue.promote() == (0, 0)
    assert await mill.log() == []


async def test_a_huge_limit_is_taken_in_steps(mill: Mill) -> None:
    limit = 100_000
    jobs = await mill.submit(9000, delay_ms=60_000)
    await due(mill, *jobs)
    assert await mill.queue.promote(limit) == (1000, 1)
    promoted = 1000
    while (step := (await mill.queue.promote(limit))[0]) > 0:
        promoted += step
    assert promoted == 9000
    assert [one.seq for one in await mill.log()] == list(range(1, 18_001))


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    await due(mill, job)
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.queue.promote()

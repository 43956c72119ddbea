"""reap: jobs whose worker is gone run again, until they have taken too many workers with them."""

from __future__ import annotations

import pytest

from millstream.core.errors import GroupLost, LogLost
from millstream.core.hot import _HEADER

from .mill import Mill


async def test_nothing_to_reap(mill: Mill) -> None:
    assert await mill.expire() == (0, False)
    await mill.submit()
    assert await mill.expire() == (0, False)  # it waits, so nobody holds it


async def test_a_good_lease_is_left_alone(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.queue.reap(60_000, 3) == (0, False)
    assert await mill.finish(lease, "succeeded")


async def test_an_expired_lease_is_queued_again(mill: Mill) -> None:
    lease = await mill.started()
    await mill.mute()
    assert await mill.expire() == (1, False)
    assert await mill.bell() == 1
    assert (await mill.log(lease.id))[-1].body == b'{"worker":"w1","crashes":1}'
    (again,) = await mill.claim(worker="w2")
    # A crash costs no attempt; it has a budget of its own.
    assert (again.id, again.attempt, again.crashes) == (lease.id, 1, 1)
    assert again.fence == lease.fence + 2


async def test_a_worker_that_lost_all_it_held_is_forgotten(mill: Mill) -> None:
    await mill.started()
    await mill.expire()
    assert await mill.consumers() == set()


async def test_it_goes_behind_those_that_wait(mill: Mill) -> None:
    lease = await mill.started()
    (waiting,) = await mill.submit()
    await mill.expire()
    assert [one.id for one in await mill.claim()] == [waiting, lease.id]


async def test_a_job_that_kills_its_workers_ends_as_poison(mill: Mill) -> None:
    (job,) = await mill.submit()
    for crash in range(1, 4):
        assert [lease.crashes for lease in await mill.claim()] == [crash - 1]
        assert await mill.expire(max_crashes=3) == (1, False)
    assert (await mill.story(job))[-2:] == ["lease_expired", "failed"]
    assert (await mill.log(job))[-1].body == b'{"reason":"poison"}'
    assert not await mill.lives(job)
    assert await mill.claim() == []


@pytest.mark.parametrize("budget", [0, 1])
async def test_a_budget_of_one_crash_or_none(mill: Mill, budget: int) -> None:
    lease = await mill.started()
    await mill.expire(max_crashes=budget)
    assert (await mill.story(lease.id))[-1] == "failed"


async def test_crashes_are_counted_over_attempts(mill: Mill) -> None:
    lease = await mill.started()
    await mill.expire()
    (lease,) = await mill.claim()
    await mill.finish(lease, "retry")
    (lease,) = await mill.claim()
    assert (lease.attempt, lease.crashes) == (2, 1)
    await mill.expire()
    (lease,) = await mill.claim()
    assert (lease.attempt, lease.crashes) == (2, 2)
    await mill.expire()
    assert (await mill.story(lease.id))[-1] == "failed"


async def test_a_job_to_be_cancelled_is_not_queued_again(mill: Mill) -> None:
    lease = await mill.started()
    await mill.cancel(lease.id)
    assert await mill.expire() == (1, False)
    assert (await mill.story(lease.id))[-3:] == ["cancel_requested", "lease_expired", "cancelled"]
    assert await mill.claim() == []
    assert not await mill.finish(lease, "succeeded")


async def test_a_job_that_expired_meanwhile_is_not_started_again(mill: Mill) -> None:
    expires_at = await mill.now() + 60_000
    (job,) = await mill.submit(expires_at=expires_at)
    assert len(await mill.claim()) == 1
    await mill.expire()
    await mill.let_pass(60_000)
    assert await mill.claim() == []
    assert (await mill.story(job))[-2:] == ["lease_expired", "failed"]


async def test_a_completion_wins_over_a_later_reap(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "succeeded")
    assert await mill.expire() == (0, False)


async def test_more_than_one_batch_and_lane(mill: Mill) -> None:
    for priority in (0, 9):
        await mill.submit(25, priority=priority)
    assert len(await mill.claim(100)) == 50
    assert await mill.expire(limit=10) == (20, True)
    assert await mill.expire(limit=10) == (20, True)
    assert await mill.expire(limit=10) == (10, False)
    assert len(await mill.claim(100)) == 50


async def test_a_thousand_at_once(mill: Mill) -> None:
    await mill.submit(1000)
    await mill.claim(1000)
    assert await mill.expire(limit=1000) == (1000, True)
    assert await mill.expire(limit=1000) == (0, False)
    assert len(await mill.claim(1000)) == 1000


async def test_priorities_are_kept(mill: Mill) -> None:
    low = await mill.submit(1, priority=9)
    high = await mill.submit(1, priority=1)
    await mill.claim()
    await mill.expire()
    assert [lease.id for lease in await mill.claim()] == high + low


async def test_leases_of_entries_that_are_gone_are_cleared(mill: Mill) -> None:
    lease = await mill.started()
    stream = mill.keys.ready("default", 5)
    await mill.redis.xtrim(stream, maxlen=0)
    assert await mill.expire() == (0, False)
    assert (await mill.redis.xpending(stream, "workers"))["pending"] == 0
    mill.broken |= {"ready-missing", "lease-missing"}
    assert await mill.finish(lease, "succeeded")


async def test_crashes_never_overflow(mill: Mill) -> None:
    (job,) = await mill.submit()
    key = mill.keys.job("default", job)
    raw = await mill.redis.get(key)
    header = list(_HEADER.unpack_from(raw))
    header[3] = 65_535
    await mill.redis.set(key, _HEADER.pack(*header) + raw[_HEADER.size :])
    await mill.claim()
    assert await mill.expire(max_crashes=10**6) == (1, False)
    assert (await mill.hot(job)).crashes == 65_535
    mill.broken |= {"wrong-crashes", "hot-differs"}  # forged above


async def test_a_lost_group_is_said_so_and_what_was_reaped_before_stands(mill: Mill) -> None:
    await mill.submit(1, priority=0)
    await mill.submit(1, priority=5)
    first, second = await mill.claim()
    await mill.lose_group(5)
    with pytest.raises(GroupLost):
        await mill.expire()
    assert (await mill.story(first.id))[-1] == "lease_expired"
    await mill.queue.mend()
    assert {lease.id for lease in await mill.claim()} == {first.id, second.id}


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.started()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.expire()

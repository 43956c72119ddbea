"""claim: jobs are given out once, in order of priority."""

from __future__ import annotations

import asyncio

import pytest

from millstream.core.errors import GroupLost, LogLost
from millstream.core.hot import _HEADER
from millstream.core.jobs import JobState

from .mill import Mill


async def test_nothing_to_give(mill: Mill) -> None:
    before = await mill.now()
    claim = await mill.queue.claim("w1", 10)
    assert (claim.leases, claim.next_due) == ([], 0)
    assert before <= claim.now <= await mill.now()
    assert await mill.bell() == 0


async def test_a_lease_names_attempt_and_fence(mill: Mill) -> None:
    lease = await mill.started()
    assert (lease.partition, lease.attempt, lease.crashes, lease.fence) == ("default", 1, 0, 2)
    started = (await mill.log(lease.id))[-1]
    assert (started.type, started.version) == ("job.started", lease.fence)
    assert started.body == b'{"attempt":1,"worker":"w1"}'


async def test_a_claim_writes_no_hot_state(mill: Mill) -> None:
    (job,) = await mill.submit()
    key = mill.keys.job("default", job)
    before = await mill.redis.get(key)
    await mill.claim()
    assert await mill.redis.get(key) == before
    assert (await mill.hot(job)).state is JobState.QUEUED


async def test_priorities_are_strict_and_each_is_in_order(mill: Mill) -> None:
    given = {priority: await mill.submit(2, priority=priority) for priority in (9, 0, 5, 1)}
    wanted = given[0] + given[1] + given[5] + given[9]
    got: list[str] = []
    while leases := await mill.claim(3):
        got += [lease.id for lease in leases]
    assert got == wanted


async def test_no_job_is_given_twice(mill: Mill) -> None:
    await mill.submit(60)
    claims = await asyncio.gather(*(mill.claim(7, f"w{n}") for n in range(12)))
    ids = [lease.id for leases in claims for lease in leases]
    assert sorted(ids) == sorted(mill.accepted)


async def test_who_leaves_work_behind_rings_for_the_next(mill: Mill) -> None:
    await mill.submit(3)
    await mill.mute()
    assert len(await mill.claim(2)) == 2
    assert await mill.bell() == 1
    await mill.mute()
    assert len(await mill.claim(2)) == 1
    assert await mill.bell() == 0


async def test_what_is_due_is_promoted_first(mill: Mill) -> None:
    ids = await mill.submit(2, delay_ms=1)
    async with asyncio.timeout(10):
        while not (leases := await mill.claim()):
            pass
    assert {lease.id for lease in leases} == set(ids)
    assert await mill.story(ids[0]) == ["submitted", "queued", "started"]
    assert leases[0].fence == 3


async def test_an_expired_job_is_not_started(mill: Mill) -> None:
    past = await mill.now() - 1
    (expired,) = await mill.submit(expires_at=past)
    (good,) = await mill.submit(expires_at=past + 60_000)
    assert [lease.id for lease in await mill.claim()] == [good]
    assert await mill.story(expired) == ["submitted", "failed"]
    assert (await mill.log(expired))[-1].body == b'{"reason":"expired"}'
    assert not await mill.lives(expired)


async def test_expired_jobs_do_not_hide_those_behind_them(mill: Mill) -> None:
    await mill.submit(25, expires_at=await mill.now() - 1)
    (good,) = await mill.submit()
    assert [lease.id for lease in await mill.claim(2)] == [good]
    assert await mill.redis.xlen(mill.keys.ready("default", 5)) == 1


async def test_a_scheduled_job_that_expired_is_not_queued(mill: Mill) -> None:
    now = await mill.now()
    (job,) = await mill.submit(run_at=now - 10, expires_at=now - 5)
    assert await mill.story(job) == ["submitted", "failed"]
    assert await mill.claim() == []


async def test_held_gives_again_what_a_lost_reply_had_given(mill: Mill) -> None:
    await mill.submit(3, priority=2)
    await mill.submit(3, priority=7)
    given = await mill.claim(4, "w1")
    await mill.claim(1, "w2")
    before = len(await mill.log())
    held = await mill.claim(100, "w1", held=True)
    assert [(one.id, one.fence, one.attempt) for one in held] == [
        (one.id, one.fence, one.attempt) for one in given
    ]
    assert len(await mill.log()) == before  # nothing was started
    assert await mill.claim(100, "w3", held=True) == []


async def test_held_leases_are_good(mill: Mill) -> None:
    await mill.submit()
    await mill.claim()
    (lease,) = await mill.claim(held=True)
    assert await mill.finish(lease, "succeeded")
    assert await mill.claim(held=True) == []


async def test_held_also_after_its_cancellation_was_requested(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.cancel(lease.id) == ["requested"]
    (again,) = await mill.claim(held=True)
    assert (again.fence, again.attempt) == (lease.fence, lease.attempt)
    assert await mill.finish(again, "cancelled")


async def test_held_gives_all_of_several_batches(mill: Mill) -> None:
    await mill.submit(1000)
    await mill.submit(700)
    while await mill.claim(1000):
        pass
    held = await mill.claim(5000, held=True)
    assert [lease.id for lease in held] == mill.accepted
    assert len(await mill.claim(1200, held=True)) == 1200


async def test_entries_without_a_job_are_dropped(mill: Mill) -> None:
    (job,) = await mill.submit()
    await mill.redis.delete(mill.keys.job("default", job))
    (good,) = await mill.submit()
    assert [lease.id for lease in await mill.claim()] == [good]
    assert await mill.redis.xlen(mill.keys.ready("default", 5)) == 1
    mill.broken |= {"hot-missing"}  # this test took it away


async def test_held_entries_that_were_deleted_are_dropped(mill: Mill) -> None:
    lease = await mill.started()
    stream = mill.keys.ready("default", 5)
    await mill.redis.xtrim(stream, maxlen=0)
    assert await mill.claim(held=True) == []
    assert (await mill.redis.xpending(stream, "workers"))["pending"] == 0
    mill.broken |= {"ready-missing", "lease-missing"}
    assert await mill.finish(lease, "succeeded")


async def test_a_lost_group_is_said_so_and_what_was_started_before_is_held(mill: Mill) -> None:
    (first,) = await mill.submit(priority=0)
    await mill.submit(priority=5)
    await mill.lose_group(5)
    with pytest.raises(GroupLost):
        await mill.claim()
    assert await mill.story(first) == ["submitted", "started"]
    await mill.queue.mend()
    assert [lease.id for lease in await mill.claim(held=True)] == [first]
    assert len(await mill.claim()) == 1


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.submit()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.claim()


async def test_versions_beyond_31_bits(mill: Mill) -> None:
    (job,) = await mill.submit()
    key = mill.keys.job("default", job)
    raw = await mill.redis.get(key)
    header = list(_HEADER.unpack_from(raw))
    header[4:7] = 3_000_000_000, 4_000_000_000, 4_000_000_001
    await mill.redis.set(key, _HEADER.pack(*header) + raw[_HEADER.size :])
    (lease,) = await mill.claim()
    assert (lease.attempt, lease.fence) == (3_000_000_001, 4_000_000_001)
    assert await mill.finish(lease, "succeeded")
    log = await mill.log(job)
    assert [one.version for one in log] == [1, 4_000_000_001, 4_000_000_002]
    assert log[1].body == b'{"attempt":3000000001,"worker":"w1"}'
    mill.broken |= {"version-gap", "wrong-attempt", "too-many-attempts"}  # forged above


async def test_a_sequence_beyond_32_bits(mill: Mill) -> None:
    await mill.submit()
    await mill.redis.hset(mill.keys.meta("default"), "seq", 2**45)
    receipt = await mill.submit_many(2)
    assert receipt.first_seq == 2**45 + 1
    assert [one.seq for one in await mill.log()] == [1, 2**45 + 1, 2**45 + 2]
    mill.broken |= {"seq-gap"}  # forged above

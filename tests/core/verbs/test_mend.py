"""mend: a lost consumer group costs leases, and nothing else."""

from __future__ import annotations

import pytest

from millstream.core.errors import GroupLost, LogLost

from .mill import Mill


async def test_nothing_to_mend(mill: Mill) -> None:
    assert await mill.queue.mend() == 0
    lease = await mill.started()
    assert await mill.queue.mend() == 0
    assert await mill.finish(lease, "succeeded")


async def test_what_ran_is_queued_again_and_what_waited_waits(mill: Mill) -> None:
    jobs = await mill.submit(5)
    leases = await mill.claim(2)
    await mill.lose_group()
    with pytest.raises(GroupLost):
        await mill.claim()
    assert await mill.queue.mend() == 2
    for job in jobs[:2]:
        assert await mill.story(job) == ["submitted", "started", "queued"]
        assert (await mill.log(job))[-1].body == b'{"cause":"group_lost"}'
    assert await mill.story(jobs[2]) == ["submitted"]
    for lease in leases:
        assert not await mill.finish(lease, "succeeded")
    again = await mill.claim()
    assert [lease.id for lease in again] == jobs[2:] + jobs[:2]
    assert {lease.attempt for lease in again} == {1}
    for lease in again:
        assert await mill.finish(lease, "succeeded")


async def test_nothing_was_started_yet(mill: Mill) -> None:
    jobs = await mill.submit(3)
    await mill.lose_group()
    assert await mill.queue.mend() == 0
    assert [lease.id for lease in await mill.claim()] == jobs


async def test_mending_twice_is_mending_once(mill: Mill) -> None:
    await mill.submit(3)
    await mill.claim(2)
    await mill.lose_group()
    assert await mill.queue.mend() == 2
    assert await mill.queue.mend() == 0
    await mill.lose_group()  # and once more, before anybody claimed
    assert await mill.queue.mend() == 0
    assert len(await mill.claim()) == 3


async def test_only_the_lane_that_lost_it(mill: Mill) -> None:
    await mill.submit(2, priority=1)
    await mill.submit(2, priority=7)
    high = await mill.claim(2)
    low = await mill.claim(2)
    await mill.lose_group(7)
    assert await mill.queue.mend() == 2
    assert [await mill.finish(lease, "succeeded") for lease in high + low] == [
        True, True, False, False,
    ]  # fmt: skip
    assert len(await mill.claim()) == 2


async def test_a_job_to_be_cancelled_does_not_run_again(mill: Mill) -> None:
    lease = await mill.started()
    await mill.cancel(lease.id)
    await mill.lose_group()
    assert await mill.queue.mend() == 1
    assert await mill.story(lease.id) == ["submitted", "started", "cancel_requested", "cancelled"]
    assert await mill.claim() == []


async def test_a_redriven_job_to_be_cancelled_leaves_its_note(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "succeeded")
    await mill.redrive(lease.id, 3)
    await mill.claim()
    await mill.cancel(lease.id)
    await mill.lose_group()
    await mill.queue.mend()
    assert await mill.redrive(lease.id, 3) == "stale"
    assert await mill.redrive(lease.id, 7) == "queued"


async def test_after_its_jobs_were_reaped_and_finished_before_the_loss(mill: Mill) -> None:
    await mill.submit(6)
    done, released, retried, *others = await mill.claim()
    await mill.finish(done, "succeeded")
    await mill.finish(released, "released")
    await mill.finish(retried, "retry", delay_ms=60_000)
    await mill.lose_group()
    assert await mill.queue.mend() == 3
    assert {lease.id for lease in await mill.claim()} == {
        released.id, *(lease.id for lease in others),
    }  # fmt: skip


async def test_who_waits_is_woken(mill: Mill) -> None:
    await mill.submit(2)
    await mill.mute()
    await mill.lose_group()
    await mill.queue.mend()
    assert await mill.bell() == 1


async def test_thousands(mill: Mill) -> None:
    for _ in range(3):
        await mill.submit(1000)
    for _ in range(2):
        await mill.claim(1000)
    await mill.lose_group()
    assert await mill.queue.mend() == 2000
    count = 0
    while leases := await mill.claim(1000):
        count += len(leases)
    assert count == 3000


async def test_a_lane_that_is_gone_altogether_can_be_used_again(mill: Mill) -> None:
    await mill.submit(2)
    lease, _ = await mill.claim()
    await mill.redis.delete(mill.keys.ready("default", 5))
    assert await mill.queue.mend() == 0
    (job,) = await mill.submit()
    assert [one.id for one in await mill.claim()] == [job]
    assert await mill.finish(lease, "succeeded")  # who runs it can still say so
    mill.broken |= {"ready-missing", "lease-missing"}  # of the other


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.started()
    await mill.lose_log()
    await mill.lose_group()
    with pytest.raises(LogLost):
        await mill.queue.mend()
    mill.broken |= {"group-missing"}

"""renew: only who still holds a lease keeps it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millstream.core.errors import GroupLost, LogLost
from millstream.core.hot import Lease
from millstream.core.renewing import LeaseRenewer

from .mill import Mill


@pytest.fixture
def renewer(mill: Mill) -> Iterator[LeaseRenewer]:
    with mill.renewer() as renewer:
        yield renewer


def renew(renewer: LeaseRenewer, *leases: Lease) -> list[int]:
    return renewer.renew("default", [(lease.id, lease.fence) for lease in leases])


async def idle(mill: Mill, priority: int = 5) -> list[int]:
    stream = mill.keys.ready("default", priority)
    pending = await mill.redis.xpending_range(stream, "workers", "-", "+", 100)
    return [lease["time_since_delivered"] for lease in pending]


async def silent(mill: Mill, worker: str, priority: int, count: int = 1) -> None:
    """Nothing was heard of the leases of `worker` for ten minutes."""
    stream = mill.keys.ready("default", priority)
    pending = await mill.redis.xpending_range(stream, "workers", "-", "+", count, worker)
    ids = [lease["message_id"] for lease in pending]
    await mill.redis.xclaim(stream, "workers", worker, 0, ids, idle=600_000, justid=True)


async def test_a_renewed_lease_is_not_reaped(mill: Mill, renewer: LeaseRenewer) -> None:
    lease = await mill.started()
    stream = mill.keys.ready("default", 5)
    (entry,) = await mill.redis.xpending_range(stream, "workers", "-", "+", 1)
    ids = [entry["message_id"]]
    await mill.redis.xclaim(stream, "workers", "w1", 0, ids, idle=600_000, justid=True)
    assert (await idle(mill))[0] >= 600_000
    assert renew(renewer, lease) == [1]
    assert (await idle(mill))[0] < 60_000
    assert await mill.queue.reap(60_000, 3) == (0, False)
    assert await mill.finish(lease, "succeeded")


async def test_renewing_appends_nothing_and_counts_no_delivery(
    mill: Mill, renewer: LeaseRenewer
) -> None:
    lease = await mill.started()
    before = await mill.log()
    for _ in range(3):
        assert renew(renewer, lease) == [1]
    assert await mill.log() == before
    stream = mill.keys.ready("default", 5)
    (entry,) = await mill.redis.xpending_range(stream, "workers", "-", "+", 1)
    assert entry["times_delivered"] == 1


async def test_who_is_to_stop_is_told(mill: Mill, renewer: LeaseRenewer) -> None:
    await mill.submit(2)
    one, other = await mill.claim()
    await mill.cancel(one.id)
    assert renew(renewer, one, other) == [2, 1]
    assert renew(renewer, one) == [2]  # and again: the first reply may have been lost


async def test_a_lost_lease(mill: Mill, renewer: LeaseRenewer) -> None:
    await mill.submit(4)
    ended, reaped, cancelled, good = await mill.claim()
    await mill.finish(ended, "succeeded")
    assert renew(renewer, good) == [1]
    for job in (reaped, cancelled):
        await mill.finish(job, "released")
    await mill.cancel(cancelled.id)
    assert renew(renewer, ended, reaped, good, cancelled) == [0, 0, 1, 0]


async def test_an_overtaken_worker_does_not_take_the_lease_back(
    mill: Mill, renewer: LeaseRenewer
) -> None:
    old = await mill.started()
    await mill.expire()
    assert renew(renewer, old) == [0]
    (new,) = await mill.claim(worker="w2")
    assert renew(renewer, old) == [0]
    assert [lease.fence for lease in await mill.claim(worker="w2", held=True)] == [new.fence]


async def test_a_job_that_was_not_started_is_not_renewed(mill: Mill, renewer: LeaseRenewer) -> None:
    (job,) = await mill.submit()
    assert renew(renewer, Lease("default", job, 2, 1, 0, 0, b"")) == [0]
    assert len(await mill.claim()) == 1


async def test_a_redriven_job_that_is_to_stop(mill: Mill, renewer: LeaseRenewer) -> None:
    lease = await mill.started()
    await mill.finish(lease, "failed")
    assert await mill.redrive(lease.id, 4) == "queued"
    (again,) = await mill.claim()
    assert renew(renewer, again) == [1]
    await mill.cancel(lease.id)
    assert renew(renewer, again) == [2]


async def test_several_lanes_and_more_than_one_batch(mill: Mill, renewer: LeaseRenewer) -> None:
    await mill.submit(900, priority=1)
    await mill.submit(900, priority=8)
    leases = [*await mill.claim(1000), *await mill.claim(1000)]
    assert len(leases) == 1800
    await mill.finish(leases[1700], "succeeded")
    replies = renew(renewer, *reversed(leases))
    assert replies.count(1) == 1799
    assert replies[99] == 0


async def test_all_that_a_worker_holds(mill: Mill, renewer: LeaseRenewer) -> None:
    """Also of a claim whose reply it never saw; nothing of others."""
    await mill.submit(1500, priority=1)
    await mill.submit(2, priority=8)
    await mill.claim(1000)
    await mill.claim(501)
    await mill.claim(1, worker="w2")
    await silent(mill, "w1", 1, 1500)
    await silent(mill, "w1", 8)
    await silent(mill, "w2", 8)
    renewer.renew_all("default")
    assert await mill.queue.reap(60_000, 3) == (1, False)
    assert (await mill.log())[-1].type == "job.lease_expired"
    assert len(await mill.claim(2000, held=True)) == 1501


async def test_all_of_none(mill: Mill, renewer: LeaseRenewer) -> None:
    renewer.renew_all("default")
    await mill.submit(1)
    renewer.renew_all("default")
    assert len(await mill.claim()) == 1


async def test_none(renewer: LeaseRenewer) -> None:
    assert renew(renewer) == []


async def test_a_lost_group(mill: Mill, renewer: LeaseRenewer) -> None:
    lease = await mill.started()
    await mill.lose_group()
    with pytest.raises(GroupLost):
        renew(renewer, lease)
    with pytest.raises(GroupLost):
        renewer.renew_all("default")
    await mill.queue.mend()
    assert renew(renewer, lease) == [0]


async def test_a_lost_log(mill: Mill, renewer: LeaseRenewer) -> None:
    lease = await mill.started()
    await mill.lose_log()
    with pytest.raises(LogLost):
        renew(renewer, lease)


async def test_scripts_forgotten(mill: Mill, renewer: LeaseRenewer) -> None:
    lease = await mill.started()
    await mill.redis.script_flush()
    assert renew(renewer, lease) == [1]

"""cancel: a waiting job at once, a running one by way of its worker."""

from __future__ import annotations

import pytest

from millstream.core.errors import LogLost
from millstream.core.jobs import JobState

from .mill import Mill


async def test_a_queued_job(mill: Mill) -> None:
    job, other = await mill.submit(2)
    assert await mill.cancel(job) == ["cancelled"]
    assert await mill.story(job) == ["submitted", "cancelled"]
    assert (await mill.log(job))[-1].body == b'{"actor":"ada","reason":"test"}'
    assert not await mill.lives(job)
    assert [lease.id for lease in await mill.claim()] == [other]


async def test_a_scheduled_job(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    assert await mill.cancel(job) == ["cancelled"]
    assert await mill.queue.promote() == (0, 0)


async def test_a_job_that_waits_for_its_retry(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "retry", delay_ms=60_000)
    assert await mill.cancel(lease.id) == ["cancelled"]
    assert await mill.queue.promote() == (0, 0)
    assert await mill.story(lease.id) == ["submitted", "started", "attempt_failed", "cancelled"]


async def test_a_job_whose_lease_expired(mill: Mill) -> None:
    lease = await mill.started()
    await mill.expire()
    assert await mill.cancel(lease.id) == ["cancelled"]
    assert not await mill.finish(lease, "succeeded")
    assert await mill.claim() == []


async def test_a_job_that_was_released(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "released")
    assert await mill.cancel(lease.id) == ["cancelled"]
    assert await mill.claim() == []


async def test_a_job_that_has_expired_but_was_not_looked_at(mill: Mill) -> None:
    (job,) = await mill.submit(expires_at=await mill.now() - 1)
    assert await mill.cancel(job) == ["cancelled"]
    assert await mill.claim() == []


async def test_a_running_job_is_asked_to_stop(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.cancel(lease.id) == ["requested"]
    assert await mill.story(lease.id) == ["submitted", "started", "cancel_requested"]
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.cancel_requested, hot.version) == (JobState.RUNNING, True, 3)
    assert await mill.cancel(lease.id) == ["pending"]
    assert len(await mill.log(lease.id)) == 3


async def test_an_ended_job_or_one_that_never_was_is_missing(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "succeeded")
    before = await mill.log()
    assert await mill.cancel(lease.id, "ghost") == ["missing", "missing"]
    assert await mill.log() == before


async def test_one_reply_each_also_for_the_same_job_twice(mill: Mill) -> None:
    running = await mill.started()
    waiting, scheduled = await mill.submit(), await mill.submit(delay_ms=60_000)
    ids = [*waiting, running.id, "ghost", *scheduled, *waiting, running.id]
    assert await mill.cancel(*ids) == [
        "cancelled", "requested", "missing", "cancelled", "missing", "pending",
    ]  # fmt: skip


async def test_nothing_to_cancel(mill: Mill) -> None:
    assert await mill.cancel() == []


async def test_thousands_at_once_in_several_lanes(mill: Mill) -> None:
    for priority in (0, 4, 9):
        await mill.submit(1000, priority=priority)
    leases = await mill.claim(500)
    replies = await mill.cancel(*mill.accepted)
    assert (replies.count("requested"), replies.count("cancelled")) == (500, 2500)
    assert await mill.claim() == []
    for lease in leases[:3]:
        assert await mill.finish(lease, "cancelled")


async def test_a_lost_group_does_not_stop_it_halfway(mill: Mill) -> None:
    await mill.submit(3)
    (lease,) = await mill.claim(1)
    await mill.lose_group()
    assert await mill.cancel(*mill.accepted) == ["requested", "cancelled", "cancelled"]
    assert await mill.finish(lease, "cancelled")
    mill.broken |= {"group-missing"}


async def test_a_redriven_job(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "failed")
    await mill.redrive(lease.id, 4)
    assert await mill.cancel(lease.id) == ["cancelled"]
    assert await mill.redrive(lease.id, 4) == "stale"
    assert await mill.redrive(lease.id, 6) == "queued"
    (again,) = await mill.claim()
    assert await mill.cancel(lease.id) == ["requested"]
    assert await mill.finish(again, "retry", delay_ms=60_000)
    assert await mill.story(lease.id) == [
        "submitted", "started", "attempt_failed", "failed", "redriven", "cancelled",
        "redriven", "started", "cancel_requested", "attempt_failed", "cancelled",
    ]  # fmt: skip


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    (job,) = await mill.submit()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.cancel(job)

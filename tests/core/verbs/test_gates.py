"""Jobs that meet more than one gate, and what happens at one while something else goes on."""

from __future__ import annotations

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.submitting import NewJob, Policy, new_job

from .limits import come, ids, limit, run_all
from .mill import Mill


async def test_no_two_jobs_wait_for_each_other(mill: Mill) -> None:
    """One was let in at the rate of its key and waits for its type, where another holds the room.

    That other is handed back and needs the rate again, before it comes to its type.
    """
    await limit(mill, types={"noop": {"concurrency": 1}}, rate_per_key={"limit": 1, "per": 60})
    first, second = await mill.submit(2, rate_key="k")
    (lease,) = await mill.claim()
    await come(mill, (await mill.queue.claim("w1", 9)).next_due)
    assert await mill.claim() == []
    assert await mill.story(second) == ["submitted", "blocked", "queued", "blocked"]
    assert await mill.finish(lease, "released")
    assert await mill.claim() == []
    assert await run_all(mill) == [second]
    await come(mill, (await mill.queue.claim("w1", 9)).next_due)
    assert await run_all(mill) == [first]


def like(lock: str, policy: Policy = "keep", expires_at: int | None = None) -> NewJob:
    spec = ev.JobSubmitted("noop", lock=lock, lock_scope="unfinished", expires_at=expires_at)
    return new_job(new_id("default"), spec)._replace(policy=policy)


async def test_a_lock_is_not_lost_to_a_job_that_a_replaced_one_lets_in(mill: Mill) -> None:
    await limit(mill, types={"noop": {"concurrency": 1}})
    await mill.submit()
    (lease,) = await mill.claim()
    soon = await mill.now() + 60_000
    _, (waits, expires) = await mill.send([like("a1"), like("b2", expires_at=soon)])
    assert await mill.claim() == []
    assert await mill.finish(lease, "succeeded")
    await come(mill, soon)
    _, stands = await mill.send([like("a1", "replace"), like("b2", "replace")])
    assert [one.id for one in stands] == [waits.id, expires.id]
    assert [one.duplicate and one.duplicate.state for one in stands] == [JobState.QUEUED] * 2
    assert await mill.story(expires.id) == ["submitted", "blocked", "replaced"]
    assert ids(await mill.claim()) == [waits.id]


async def test_who_expired_at_a_gate_ends_when_a_replaced_job_leaves_it(mill: Mill) -> None:
    await limit(mill, types={"noop": {"concurrency": 1}})
    await mill.submit()
    (lease,) = await mill.claim()
    soon = await mill.now() + 60_000
    _, (waits, expires) = await mill.send([like("a1"), like("b2", expires_at=soon)])
    assert await mill.claim() == []
    assert await mill.finish(lease, "succeeded")
    await come(mill, soon)
    _, stands = await mill.send([like("a1", "replace"), like("b2")])
    assert [one.duplicate and one.duplicate.state for one in stands] == [
        JobState.QUEUED,
        JobState.BLOCKED,
    ]
    assert await mill.story(expires.id) == ["submitted", "blocked", "failed"]
    assert ids(await mill.claim()) == [waits.id]


async def test_who_waits_behind_many_that_expired_is_let_in_by_the_next_claims(mill: Mill) -> None:
    """One step lets in a few: the gate is looked at again, though nobody is left to leave it."""
    await limit(mill, types={"noop": {"concurrency": 1}})
    await mill.submit()
    (lease,) = await mill.claim()
    soon = await mill.now() + 60_000
    await mill.submit(25, expires_at=soon)
    (waits,) = await mill.submit()
    assert await mill.claim() == []
    await come(mill, soon)
    assert await mill.finish(lease, "succeeded")
    claim = await mill.queue.claim("w1", 9)
    assert not claim.leases
    # There is more to do at once: the gate was noted by the clock as it was later in that claim.
    assert 0 < claim.next_due <= claim.now + 100
    await come(mill, claim.next_due)
    assert ids(await mill.claim()) == [waits]


async def test_one_whose_hot_state_is_gone_keeps_nobody_from_its_gate(mill: Mill) -> None:
    await limit(mill, types={"noop": {"concurrency": 1}})
    await mill.submit()
    (lease,) = await mill.claim()
    gone, waits = await mill.submit(2)
    assert await mill.claim() == []
    await mill.redis.delete(mill.keys.job("default", gone))
    mill.accepted.remove(gone)
    mill.broken |= {"hot-missing", "parked-missing"}  # this test took it away
    assert await mill.finish(lease, "succeeded")
    assert ids(await mill.claim()) == [waits]
    assert await mill.story(lease.id) == ["submitted", "started", "succeeded"]

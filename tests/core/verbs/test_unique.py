"""submit with locks: one job stands for all that are like it."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.submitting import NewJob, Policy, Stand, new_job

from .mill import Mill

LOCK = "0f343b0931126a20f133d67c2b018a3b"
ONCE = "ffffffff31126a20f133d67c2b018a3b"


def job(
    scope: str = "unfinished",
    policy: Policy = "keep",
    *,
    ms: int | None = None,
    lock: str | None = LOCK,
    once: tuple[str, int] | None = None,
    **spec: Any,
) -> NewJob:
    made = ev.JobSubmitted("noop", lock=lock, lock_scope=scope, lock_ms=ms, **spec)
    return new_job(new_id("default"), made)._replace(policy=policy, once=once)


async def send(mill: Mill, *jobs: NewJob) -> list[Stand]:
    return (await mill.send(jobs))[1]


async def one(mill: Mill, *args: Any, **how: Any) -> Stand:
    (stand,) = await send(mill, job(*args, **how))
    return stand


@pytest.mark.parametrize("scope", ["waiting", "unfinished"])
async def test_while_it_waits_a_job_stands_for_all_like_it(mill: Mill, scope: str) -> None:
    first = await one(mill, scope)
    assert first.duplicate is None
    again = await one(mill, scope)
    assert (again.id, again.position) == (first.id, first.position)
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.QUEUED
    assert [record.type for record in await mill.log()] == ["job.submitted"]


async def test_a_running_job_stands_for_others_until_it_has_ended(mill: Mill) -> None:
    first = await one(mill)
    (lease,) = await mill.claim()
    again = await one(mill)
    assert again.id == first.id
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.RUNNING
    assert await mill.finish(lease, "succeeded")
    assert (await one(mill)).duplicate is None


async def test_while_waiting_ends_with_the_start(mill: Mill) -> None:
    first = await one(mill, "waiting")
    (lease,) = await mill.claim()
    second = await one(mill, "waiting")
    assert second.duplicate is None
    assert second.id != first.id
    # The first one holds the lock no more: its end must not free it.
    assert await mill.finish(lease, "succeeded")
    assert (await one(mill, "waiting")).id == second.id


async def test_a_retried_job_still_stands_for_others(mill: Mill) -> None:
    first = await one(mill)
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "retry", delay_ms=60_000)
    again = await one(mill)
    assert again.id == first.id
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.RETRYING


async def end_by_finish(mill: Mill, id: str) -> None:
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "failed")


async def end_by_cancel(mill: Mill, id: str) -> None:
    assert await mill.cancel(id) == ["cancelled"]


async def end_by_poison(mill: Mill, id: str) -> None:
    await mill.claim()
    assert await mill.expire(max_crashes=1) == (1, False)


async def end_by_cancel_and_lost_group(mill: Mill, id: str) -> None:
    await mill.claim()
    assert await mill.cancel(id) == ["requested"]
    await mill.lose_group()
    assert await mill.queue.mend() == 1


@pytest.mark.parametrize(
    "end", [end_by_finish, end_by_cancel, end_by_poison, end_by_cancel_and_lost_group]
)
async def test_every_end_frees_the_lock(mill: Mill, end: Any) -> None:
    first = await one(mill)
    await end(mill, first.id)
    assert await mill.redis.keys("*:unique:*") == []
    assert (await one(mill)).duplicate is None


@pytest.mark.parametrize("delayed", [False, True])
async def test_expiring_frees_the_lock(mill: Mill, delayed: bool) -> None:
    now = await mill.now()
    await one(mill, run_at=now - 5 if delayed else None, expires_at=now - 1)
    assert await mill.claim() == []
    assert await mill.redis.keys("*:unique:*") == []


async def test_a_lock_for_a_period_outlives_the_job_and_no_more(mill: Mill) -> None:
    first = await one(mill, "period", ms=60_000)
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "succeeded")
    again = await one(mill, "period", ms=60_000)
    assert (again.id, again.position) == (first.id, first.position)
    assert again.duplicate is not None
    assert again.duplicate.state is None
    key = f"{{ms:default}}:unique:{LOCK}"
    assert 50_000 < await mill.redis.pttl(key) <= 60_000
    await mill.redis.pexpire(key, 0)  # the time has passed
    assert (await one(mill, "period", ms=60_000)).duplicate is None


async def test_a_lost_job_holds_nothing(mill: Mill) -> None:
    first = await one(mill)
    await mill.redis.delete(mill.keys.job("default", first.id))
    mill.broken |= {"hot-missing", "ready-orphan"}
    assert (await one(mill)).duplicate is None


async def test_a_redriven_job_does_not_take_its_lock_again(mill: Mill) -> None:
    first = await one(mill)
    await mill.cancel(first.id)
    second = await one(mill)
    assert await mill.redrive(first.id, 2) == "queued"
    await mill.cancel(first.id)
    assert (await one(mill)).id == second.id


async def test_duplicates_within_a_batch_and_among_others(mill: Mill) -> None:
    held = await one(mill)
    jobs = [job(lock=None), job(), job(lock="ab"), job(lock=None), job(lock="ab"), job(lock="cd")]
    receipt, stands = await mill.send(jobs)
    assert [n for n, stand in enumerate(stands) if stand.duplicate] == [1, 4]
    assert stands[1].id == held.id
    assert stands[4].id == stands[2].id == jobs[2].id
    records = {record.position: record.job for record in await mill.log()}
    assert [records[stand.position] for stand in stands] == [stand.id for stand in stands]
    assert [receipt.position(n) for n in range(6)] == [stand.position for stand in stands]
    assert len(records) == 5


async def test_a_batch_sent_again_is_answered_the_same(mill: Mill) -> None:
    jobs = [job(), job(), job(lock=None), job(policy="replace", priority=1)]
    first, stands = await mill.send(jobs, "c1")
    (lease,) = await mill.claim(1)
    again, told = await mill.send(jobs, "c1")
    assert again == first._replace(again=True)
    assert told == stands
    assert lease.id == jobs[0].id


async def test_the_waiting_job_is_replaced(mill: Mill) -> None:
    first = await one(mill, payload=wrap("old"), tags=["a"])
    (other,) = await mill.submit(priority=3)
    again = await one(mill, policy="replace", payload=wrap("new"), priority=1)
    assert again.id == first.id
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.QUEUED
    assert await mill.story(first.id) == ["submitted", "replaced"]
    assert again.position == (await mill.log(first.id))[-1].position
    leases = await mill.claim()
    assert [lease.id for lease in leases] == [first.id, other]
    assert leases[0].decode().payload == wrap("new")
    assert leases[0].fence == 3
    assert await mill.finish(leases[0], "succeeded")
    assert await mill.redis.keys("*:unique:*") == []


async def test_each_replacement_puts_a_job_off(mill: Mill) -> None:
    first = await one(mill, policy="replace", delay_ms=30_000)
    again = await one(mill, policy="replace", delay_ms=90_000)
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.SCHEDULED
    claim = await mill.queue.claim("w1", 10)
    assert 80_000 < claim.next_due - claim.now <= 90_000
    now = await one(mill, policy="replace")
    assert now.duplicate is not None
    assert now.duplicate.state is JobState.QUEUED
    assert [lease.id for lease in await mill.claim()] == [first.id]


async def test_a_queued_job_can_be_put_off_and_one_due_in_the_past_comes_at_once(
    mill: Mill,
) -> None:
    first = await one(mill)
    await one(mill, policy="replace", delay_ms=60_000)
    assert await mill.claim() == []
    await one(mill, policy="replace", run_at=await mill.now() - 10)
    assert await mill.story(first.id) == ["submitted", "replaced", "replaced", "queued"]
    assert [lease.id for lease in await mill.claim()] == [first.id]


async def test_a_replaced_job_begins_with_fresh_attempts(mill: Mill) -> None:
    first = await one(mill, max_attempts=3)
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "retry", delay_ms=60_000)
    await one(mill, policy="replace", max_attempts=1)
    (lease,) = await mill.claim()
    assert (lease.id, lease.attempt, lease.fence) == (first.id, 1, 5)


async def test_a_running_job_is_not_replaced(mill: Mill) -> None:
    first = await one(mill)
    (lease,) = await mill.claim()
    again = await one(mill, policy="replace", payload=wrap("new"))
    assert again.id == first.id
    assert again.duplicate is not None
    assert again.duplicate.state is JobState.RUNNING
    assert await mill.story(first.id) == ["submitted", "started"]
    assert await mill.finish(lease, "released")
    await one(mill, policy="replace", payload=wrap("new"))
    assert (await mill.hot(first.id)).spec.payload == wrap("new")


async def test_one_batch_may_replace_its_own_job_twice(mill: Mill) -> None:
    jobs = [job(policy="replace", payload=wrap(n)) for n in range(3)]
    stands = await send(mill, *jobs)
    assert {stand.id for stand in stands} == {jobs[0].id}
    log = await mill.log()
    assert [stand.position for stand in stands] == [record.position for record in log]
    (lease,) = await mill.claim()
    assert lease.decode().payload == wrap(2)


async def test_a_request_sent_again_makes_nothing_and_replaces_nothing(mill: Mill) -> None:
    once = (ONCE, 60_000)
    first = await one(mill, policy="replace", payload=wrap(1), once=once)
    other = await one(mill, policy="replace", payload=wrap(2))
    again = await one(mill, policy="replace", payload=wrap(1), once=once)
    assert first.id == other.id == again.id
    assert again.position == first.position
    assert (await mill.hot(first.id)).spec.payload == wrap(2)


async def test_a_request_that_met_a_taken_lock_is_answered_the_same_later(mill: Mill) -> None:
    once = (ONCE, 60_000)
    first = await one(mill)
    met = await one(mill, once=once)
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "succeeded")
    assert (await one(mill, once=once)).id == met.id == first.id
    assert (await one(mill)).id != first.id


async def test_a_job_that_waits_for_a_limit_can_be_replaced_and_leaves_its_place(
    mill: Mill,
) -> None:
    await mill.queue.configure(ev.QueueConfigured(), {"ck": "1"})
    await mill.submit(concurrency_key="a")
    (lease,) = await mill.claim()
    first = await one(mill, "waiting", "replace", concurrency_key="a")
    assert await mill.claim() == []
    assert (await mill.hot(first.id)).state is JobState.BLOCKED
    again = await one(mill, "waiting", "replace", concurrency_key="b")
    assert again.id == first.id
    assert await mill.story(first.id) == ["submitted", "blocked", "replaced"]
    assert [lease.id for lease in await mill.claim()] == [first.id], "nobody runs under its new key"
    assert await mill.finish(lease, "succeeded")


async def test_the_position_is_that_of_the_spec_although_others_are_let_in_by_it(
    mill: Mill,
) -> None:
    await mill.queue.configure(ev.QueueConfigured("ada"), {"ck": "1"})
    first = await one(mill, concurrency_key="a")
    await mill.submit(concurrency_key="a")
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "released")  # waits again, and keeps its slot
    again = await one(mill, policy="replace", concurrency_key="a")
    assert again.id == first.id
    told = [(one.type, one.position) for one in await mill.log()][-2:]
    assert [name for name, _ in told] == ["job.replaced", "job.queued"]
    assert again.position == told[0][1]

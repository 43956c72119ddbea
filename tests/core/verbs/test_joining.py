"""Jobs that wait for others: watch, the outbox, join, and what may happen to them meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.joining import Joiner
from millstream.core.queue import Directory
from millstream.core.submitting import NewJob, new_job
from millstream.core.upcast import decode

from .mill import ADA, Mill

pytestmark = pytest.mark.parametrize("mill", ["server"], indirect=True)
FAR = 9_000_000_000_000


def dependent(mill: Mill, parents: Sequence[str], policy: str = "fail", **spec: Any) -> NewJob:
    """A job that waits for these, prepared."""
    made = ev.JobSubmitted("noop", on_parent_failure=policy, depends_on=list(parents), **spec)
    return new_job(new_id(mill.partition), made)


def family(
    mill: Mill, policy: str = "fail", parents: int = 1, **spec: Any
) -> tuple[list[NewJob], NewJob]:
    """Parents that know who waits for them, and who does."""
    ids = [new_id(mill.partition) for _ in range(parents)]
    child = dependent(mill, ids, policy, **spec)
    mark = "*" if policy == "wait" else ""
    first = [new_job(id, ev.JobSubmitted("noop"))._replace(before=[child.id + mark]) for id in ids]
    return first, child


async def deliver(mill: Mill) -> None:
    await Joiner(Directory(mill.redis, mill.keys)).deliver(mill.partition)


async def run_all(mill: Mill, verdict: Any = "succeeded") -> list[str]:
    """Claim what may run and end it; which jobs that were."""
    leases = await mill.claim()
    for lease in leases:
        assert await mill.finish(lease, verdict)
    return [lease.id for lease in leases]


async def submit_family(mill: Mill, *args: Any, **how: Any) -> tuple[list[str], str]:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    parents, child = family(mill, *args, **how)
    await mill.send([*parents, child])
    return [job.id for job in parents], child.id


async def outbox(mill: Mill) -> int:
    return await mill.queue.outbox()


async def last(mill: Mill, job: str) -> ev.Event:
    return decode((await mill.log(job))[-1])


async def test_it_runs_once_all_its_parents_have_succeeded(mill: Mill) -> None:
    parents, child = await submit_family(mill, parents=2)
    assert (await mill.hot(child)).state is JobState.BLOCKED
    leases = await mill.claim()
    assert {lease.id for lease in leases} == set(parents), "the child does not run"
    await mill.finish(leases[0], "succeeded")
    await deliver(mill)
    assert await mill.claim() == []
    await mill.finish(leases[1], "succeeded")
    assert await outbox(mill) == 1
    await deliver(mill)
    assert await outbox(mill) == 0
    assert await run_all(mill) == [child]
    assert await mill.story(child) == ["submitted", "joined", "started", "succeeded"]


async def test_who_finishes_is_told_whether_others_waited_for_it(mill: Mill) -> None:
    woken: list[str] = []
    mill.queue.on_awaited = woken.append
    await submit_family(mill)
    await mill.submit()
    leases = await mill.claim()
    assert await mill.finish(leases[1], "succeeded")
    assert woken == []
    assert await mill.finish(leases[0], "succeeded")
    assert woken == ["default"]
    await deliver(mill)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@pytest.mark.parametrize(
    ("policy", "events"),
    [
        ("fail", ["submitted", "failed"]),
        ("cancel", ["submitted", "cancelled"]),
        ("run", ["submitted", "joined", "started", "succeeded"]),
        ("wait", ["submitted"]),
    ],
)
async def test_what_becomes_of_it_when_a_parent_does_not_succeed(
    mill: Mill, policy: str, events: list[str], end: str
) -> None:
    (parent,), child = await submit_family(mill, policy)
    if end == "failed":
        await run_all(mill, "failed")
    else:
        await mill.cancel(parent)
    await deliver(mill)
    await run_all(mill)
    assert await mill.story(child) == events
    event = await last(mill, child)
    if policy == "fail":
        assert isinstance(event, ev.JobFailed)
        assert (event.reason, event.parent) == ("parent_failed", parent)
        assert event.error is not None
        assert parent in event.error.message
    if policy == "cancel":
        assert isinstance(event, ev.JobCancelled)
        assert parent in event.reason


async def test_a_failure_runs_through_a_chain(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    ids = [new_id(mill.partition) for _ in range(4)]
    chain = [
        new_job(
            id, ev.JobSubmitted("noop", on_parent_failure="fail", depends_on=ids[n - 1 : n])
        )._replace(before=ids[n + 1 : n + 2])
        for n, id in enumerate(ids)
    ]
    chain[0] = new_job(ids[0], ev.JobSubmitted("noop"))._replace(before=[ids[1]])
    await mill.send(chain)
    await run_all(mill, "failed")
    await deliver(mill)
    for n, id in enumerate(ids[1:]):
        event = await last(mill, id)
        assert isinstance(event, ev.JobFailed)
        assert event.parent == ids[n]
    assert await outbox(mill) == 0


async def test_who_waits_on_goes_on_when_its_parent_is_run_again_and_succeeds(mill: Mill) -> None:
    (parent,), child = await submit_family(mill, "wait")
    await run_all(mill, "failed")
    await deliver(mill)
    assert await mill.lives(child)
    version = (await mill.log(parent))[-1].version
    assert await mill.redrive(parent, version) == "queued"
    await run_all(mill)
    await deliver(mill)
    assert await run_all(mill) == [child]
    assert not await mill.redis.exists(mill.keys.awaited(mill.partition, parent))


async def test_the_same_may_be_told_twice(mill: Mill) -> None:
    parents, child = await submit_family(mill, parents=2)
    for _ in range(3):
        await mill.queue.join({child: [(parents[0], "succeeded")]})
    assert await mill.story(child) == ["submitted"]
    for _ in range(3):
        await mill.queue.join({child: [(parents[1], "succeeded"), (parents[0], "succeeded")]})
    assert await mill.story(child) == ["submitted", "joined"]
    await run_all(mill)
    await mill.queue.join({child: [(parents[1], "failed")]})
    assert (await mill.story(child))[-1] == "succeeded"


async def test_what_is_told_before_it_is_there_is_kept_for_it(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    parents, child = family(mill, parents=2)
    await mill.send(parents)
    await run_all(mill)
    await deliver(mill)
    await mill.send([child])
    assert await mill.story(child.id) == ["submitted", "joined"]
    assert await run_all(mill) == [child.id]


async def test_a_failure_that_came_before_it_ends_it_at_once(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    parents, child = family(mill)
    await mill.send(parents)
    await run_all(mill, "failed")
    await deliver(mill)
    await mill.send([child])
    assert await mill.story(child.id) == ["submitted", "failed"]


async def test_parents_known_to_have_ended_count_at_submission(mill: Mill) -> None:
    (parent,) = await mill.submit()
    await run_all(mill)
    child = dependent(mill, [parent])._replace(ended={parent: "succeeded"})
    receipt, _ = await mill.send([child])
    assert await mill.story(child.id) == ["submitted", "joined"]
    assert receipt.position(0) == (await mill.log(child.id))[0].position


async def test_jobs_that_live_are_watched_and_others_are_not(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    live, over = await mill.submit(2)
    await mill.cancel(over)
    child = dependent(mill, [live])
    assert await mill.queue.watch([(live, child.id), (over, child.id)]) == [True, False]
    await mill.send([child])
    await run_all(mill)
    await deliver(mill)
    assert await run_all(mill) == [child.id]


async def test_its_time_and_its_delay_hold_once_its_parents_are_done(mill: Mill) -> None:
    for spec in ({"run_at": FAR}, {"delay_ms": 3_600_000}):
        before = await mill.now()
        _, child = await submit_family(mill, **spec)
        await run_all(mill)
        await deliver(mill)
        assert (await mill.hot(child)).state is JobState.SCHEDULED
        event = await last(mill, child)
        assert isinstance(event, ev.JobJoined)
        assert event.run_at is not None
        assert event.run_at == FAR or event.run_at >= before + 3_600_000
        await mill.cancel(child)


async def test_one_that_expired_meanwhile_fails(mill: Mill) -> None:
    _, child = await submit_family(mill, expires_at=await mill.now() + 1)
    await asyncio.sleep(0.005)
    await run_all(mill)
    await deliver(mill)
    assert await last(mill, child) == ev.JobFailed("expired")


async def test_cancelling_it_leaves_nothing_behind(mill: Mill) -> None:
    _, child = await submit_family(mill)
    assert await mill.cancel(child) == ["cancelled"]
    await run_all(mill)
    await deliver(mill)
    assert await mill.story(child) == ["submitted", "cancelled"]
    assert not await mill.redis.exists(mill.keys.parents(mill.partition, child))


async def test_a_purge_takes_it_too(mill: Mill) -> None:
    _, child = await submit_family(mill)
    (standing,) = [await mill.queue.inspect()]
    assert (standing.queued, standing.blocked) == (1, 1)
    assert await mill.queue.purgeable([JobState.BLOCKED]) == 1
    cursor, count = await mill.queue.purge(ADA, "", [JobState.BLOCKED])
    assert (cursor, count) == ("", 1)
    assert await mill.story(child) == ["submitted", "cancelled"]
    await run_all(mill)
    await deliver(mill)


async def test_it_may_be_rescheduled_and_waits_on(mill: Mill) -> None:
    _, child = await submit_family(mill)
    assert await mill.queue.reschedule([child], "+0", ADA) == ["ready"]
    assert await mill.queue.reschedule([child], FAR, ADA) == ["rescheduled"]
    assert (await mill.hot(child)).state is JobState.BLOCKED
    assert await mill.queue.reschedule([child], "+0", ADA) == ["rescheduled"]
    assert await mill.queue.reschedule([child], FAR, ADA) == ["rescheduled"]
    await run_all(mill)
    await deliver(mill)
    assert (await mill.hot(child)).state is JobState.SCHEDULED
    assert (await mill.story(child))[-2:] == ["blocked", "joined"]


async def test_a_limit_holds_for_it_as_for_others(mill: Mill) -> None:
    await mill.queue.configure(ev.QueueConfigured("ada"), {"ck": "1"})
    (holder,) = await mill.submit(concurrency_key="a")
    (lease,) = await mill.claim()
    assert lease.id == holder
    _, child = await submit_family(mill, concurrency_key="a")
    await run_all(mill)
    await deliver(mill)
    assert await mill.claim() == []
    assert (await mill.story(child))[-1] == "blocked"
    await mill.finish(lease, "succeeded")
    assert await run_all(mill) == [child]


async def test_an_entry_that_nobody_settled_is_given_again(mill: Mill) -> None:
    _, child = await submit_family(mill)
    await run_all(mill)
    (ended,) = await mill.queue.collect(10)
    assert ended.dependents == [child]
    assert await mill.queue.collect(10) == []
    assert await mill.queue.collect(10, 1_000_000) == []
    await asyncio.sleep(0.002)
    assert await mill.queue.collect(10, 1) == [ended]
    await mill.redis.xgroup_destroy(mill.keys.outbox(mill.partition), "joiners")
    assert await mill.queue.collect(10) == [ended], "a group that was lost is made again"
    await mill.queue.join({child: ended.jobs})
    await mill.queue.settle([ended.entry])
    assert await outbox(mill) == 0


async def test_an_open_job_waits_until_it_is_closed(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    child = new_job(
        new_id(mill.partition), ev.JobSubmitted("noop", on_parent_failure="fail", open=True)
    )
    await mill.send([child])
    for _ in range(2):
        parents = [
            new_job(new_id(mill.partition), ev.JobSubmitted("noop"))._replace(before=[child.id])
            for _ in range(3)
        ]
        await mill.send(parents)
        ids = [job.id for job in parents]
        early = await mill.claim(1)
        await mill.finish(early[0], "succeeded")
        await deliver(mill)
        for _ in range(2):  # its reply may be lost
            assert await mill.queue.extend(child.id, ids, {}) == "extended"
        await run_all(mill)
        await deliver(mill)
        assert await mill.queue.extend(child.id, ids, {}) == "extended"
    assert await mill.claim() == []
    assert await mill.queue.extend(child.id, [], {}, ev.JobClosed()) == "extended"
    assert await run_all(mill) == [child.id]
    assert await mill.queue.extend(child.id, [], {}, ev.JobClosed()) == "missing"


async def test_one_that_is_closed_waits_for_no_more(mill: Mill) -> None:
    (parent,) = await mill.submit()
    child = dependent(mill, [], open=True)
    await mill.queue.watch([(parent, child.id)])
    await mill.send([child])
    assert await mill.queue.extend(child.id, [parent], {}, ev.JobClosed("ada")) == "extended"
    assert await mill.queue.extend(child.id, [new_id("default")], {}) == "closed"
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    await run_all(mill)
    await deliver(mill)
    assert await run_all(mill) == [child.id]


async def test_a_request_sent_again_makes_no_job_twice(mill: Mill) -> None:
    (parent,), child = family(mill)
    jobs = [job._replace(once=(f"{n:032x}", 60_000)) for n, job in enumerate((parent, child))]
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    await mill.send(jobs[:1])
    _, stands = await mill.send(jobs)
    assert [stand.duplicate is not None for stand in stands] == [True, False]
    assert stands[0].id == parent.id
    await run_all(mill)
    await deliver(mill)
    assert await run_all(mill) == [child.id]
    _, stands = await mill.send(jobs)
    assert all(stand.duplicate is not None for stand in stands)


async def test_a_waiting_job_replaced_by_one_without_parents_waits_no_more(mill: Mill) -> None:
    parents, child = family(mill)
    lock: dict[str, Any] = {"lock": "ab" * 16, "lock_scope": "unfinished"}
    spec = ev.JobSubmitted("noop", on_parent_failure="fail", depends_on=[parents[0].id], **lock)
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    await mill.send([*parents, new_job(child.id, spec)])
    other = new_job(new_id(mill.partition), ev.JobSubmitted("noop", **lock))
    await mill.send([other._replace(policy="replace")])
    assert (await mill.hot(child.id)).state is JobState.QUEUED
    await run_all(mill)
    await deliver(mill)
    assert await mill.story(child.id) == ["submitted", "replaced", "started", "succeeded"]


async def test_a_thousand_wait_for_one(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    parent = new_id(mill.partition)
    children = [dependent(mill, [parent]) for _ in range(1000)]
    first = new_job(parent, ev.JobSubmitted("noop"))
    await mill.send([first._replace(before=[job.id for job in children])])
    await mill.send(children)
    await run_all(mill)
    assert await outbox(mill) == 10
    await deliver(mill)
    assert (await mill.queue.inspect()).queued == 1000


@pytest.mark.parametrize("first", ["parent", "child"])
async def test_who_waits_on_and_is_cancelled_is_waited_for_no_more(mill: Mill, first: str) -> None:
    (parent,), child = await submit_family(mill, "wait")
    if first == "parent":
        await run_all(mill, "failed")
        await deliver(mill)
    await mill.cancel(child)
    await deliver(mill)
    assert not await mill.redis.exists(mill.keys.awaited(mill.partition, parent))
    await run_all(mill, "failed")
    assert await outbox(mill) == 0


async def test_what_is_to_be_found_out_is_named_at_once(mill: Mill) -> None:
    (parent,) = await mill.submit()
    await mill.cancel(parent)
    child = dependent(mill, [parent], "run")._replace(ended={parent: "?"})
    other = dependent(mill, [new_id(mill.partition)])
    await mill.send([child, other])
    (found,) = await mill.queue.overdue(1_000_000, 10, 10, look_ms=60_000)
    assert found == (child.id, "run", [parent])
    assert await mill.queue.overdue(1_000_000, 10, 10, look_ms=60_000) == []
    await asyncio.sleep(0.002)
    both = await mill.queue.overdue(1, 10, 10, look_ms=60_000, seen=[child.id])
    assert {one.job for one in both} == {other.id}
    await asyncio.sleep(0.002)
    both = await mill.queue.overdue(1, 10, 10, look_ms=60_000)
    assert {one.job for one in both} == {child.id}
    await mill.queue.join({child.id: [(parent, "cancelled")]})
    assert await run_all(mill) == [child.id]
    await mill.queue.join({other.id: [(other.spec.depends_on[0], "missing")]})
    event = await last(mill, other.id)
    assert isinstance(event, ev.JobFailed)
    assert event.reason == "parent_missing"


async def test_of_those_that_wait_for_a_failed_job_only_who_waits_on_is_kept(mill: Mill) -> None:
    await mill.redis.sadd(mill.keys.queues, mill.partition)
    parent = new_id(mill.partition)
    stays, goes = dependent(mill, [parent], "wait"), dependent(mill, [parent], "fail")
    first = new_job(parent, ev.JobSubmitted("noop"))
    await mill.send([first._replace(before=[stays.id + "*", goes.id]), stays, goes])
    await run_all(mill, "failed")
    kept = await mill.redis.smembers(mill.keys.awaited(mill.partition, parent))
    assert kept == {f"{stays.id}*".encode()}
    await deliver(mill)
    assert await mill.story(goes.id) == ["submitted", "failed"]
    assert await mill.story(stays.id) == ["submitted"]


async def test_what_was_not_looked_into_to_the_end_is_named_again(mill: Mill) -> None:
    (parent,) = await mill.submit()
    await mill.cancel(parent)
    child = dependent(mill, [parent])._replace(ended={parent: "?"})
    await mill.send([child])

    async def named(*seen: str) -> list[str]:
        found = await mill.queue.overdue(60_000, 10, 10, look_ms=0, seen=seen)
        return [one.job for one in found]

    assert await named() == [child.id]
    assert await named() == [child.id]
    assert await named(child.id) == []
    await mill.queue.join({child.id: [(parent, "cancelled")]})
    assert await named(child.id) == []
    assert not await mill.redis.exists(f"{mill.keys.base(mill.partition)}:dependents")

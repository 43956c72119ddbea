"""What may happen to jobs that wait for others meanwhile, and to those that are waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.submitting import new_job

from .kin import FAR, deliver, dependent, family, last, outbox, run_all, submit_family
from .mill import ADA, Mill, verdict_on


async def test_cancelling_it_leaves_nothing_behind(mill: Mill) -> None:
    _, child = await submit_family(mill)
    assert await mill.cancel(child) == ["cancelled"]
    await run_all(mill)
    await deliver(mill)
    assert await mill.story(child) == ["submitted", "cancelled"]
    assert await mill.parents(child) == set()


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
    await mill.lose_joiners()
    assert await mill.queue.collect(10) == [ended], "a group that was lost is made again"
    await mill.queue.join({child: ended.jobs})
    await mill.queue.settle([ended.entry])
    assert await outbox(mill) == 0


async def test_an_open_job_waits_until_it_is_closed(mill: Mill) -> None:
    await mill.register()
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
    await mill.register()
    await run_all(mill)
    await deliver(mill)
    assert await run_all(mill) == [child.id]


async def test_a_request_sent_again_makes_no_job_twice(mill: Mill) -> None:
    (parent,), child = family(mill)
    jobs = [job._replace(once=(f"{n:032x}", 60_000)) for n, job in enumerate((parent, child))]
    await mill.register()
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
    await mill.register()
    await mill.send([*parents, new_job(child.id, spec)])
    other = new_job(new_id(mill.partition), ev.JobSubmitted("noop", **lock))
    await mill.send([other._replace(policy="replace")])
    assert (await mill.hot(child.id)).state is JobState.QUEUED
    await run_all(mill)
    await deliver(mill)
    assert await mill.story(child.id) == ["submitted", "replaced", "started", "succeeded"]


async def test_a_thousand_wait_for_one(mill: Mill) -> None:
    await mill.register()
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
    assert await mill.awaited(parent) == set()
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
    await mill.register()
    parent = new_id(mill.partition)
    stays, goes = dependent(mill, [parent], "wait"), dependent(mill, [parent], "fail")
    first = new_job(parent, ev.JobSubmitted("noop"))
    await mill.send([first._replace(before=[stays.id + "*", goes.id]), stays, goes])
    await run_all(mill, "failed")
    assert await mill.awaited(parent) == {f"{stays.id}*"}
    await deliver(mill)
    assert await mill.story(goes.id) == ["submitted", "failed"]
    assert await mill.story(stays.id) == ["submitted"]


async def test_an_open_job_that_stays_and_is_cancelled_is_told_to_jobs_alone(mill: Mill) -> None:
    await mill.register()
    (parent,) = await mill.submit()
    child = dependent(mill, [parent], "wait", open=True)
    await mill.queue.watch([(parent, f"{child.id}*")])
    await mill.send([child])
    await mill.cancel(child.id)
    (left,) = await mill.queue.collect(10)
    assert (left.jobs, left.dependents) == ([(child.id, "left")], [parent])
    await mill.queue.settle([left.entry])
    await mill.queue.join({parent: left.jobs})
    assert await mill.awaited(parent) == set()


async def test_one_that_is_replaced_in_the_call_that_made_it_is_not_joined(mill: Mill) -> None:
    lock: dict[str, Any] = {"lock": "ab" * 16, "lock_scope": "unfinished"}
    (parent,) = await mill.submit()
    await run_all(mill)
    first = dependent(mill, [parent], **lock)._replace(ended={parent: "succeeded"})
    other = new_job(new_id(mill.partition), ev.JobSubmitted("noop", **lock))
    await mill.send([first, other._replace(policy="replace")])
    assert await mill.story(first.id) == ["submitted", "replaced"]
    assert await run_all(mill) == [first.id]


async def test_who_has_nobody_to_tell_says_so(mill: Mill) -> None:
    """Who waits on for a job that failed is told nothing: nobody is woken for that."""
    woken: list[str] = []
    (parent,), child = await submit_family(mill, "wait")
    mill.queue.on_awaited = woken.append
    await run_all(mill, "failed")
    assert (woken, await outbox(mill)) == ([], 0)
    await mill.redrive(parent, (await mill.log(parent))[-1].version)
    await run_all(mill)
    assert woken == ["default"]
    assert await mill.queue.join({child: [(parent, "succeeded")]}) == (1, False)


async def test_a_thread_that_ends_a_job_others_wait_for_is_told_that_it_did(mill: Mill) -> None:
    _, child = await submit_family(mill)
    (lease,) = await mill.claim(1)
    with mill.renewer() as renewer:
        assert renewer.finish(mill.partition, [verdict_on(lease, "succeeded")]) == [True]
    await deliver(mill)
    assert await run_all(mill) == [child]


async def test_what_was_not_looked_into_to_the_end_is_named_again(mill: Mill) -> None:
    (parent,) = await mill.submit()
    await mill.cancel(parent)
    child = dependent(mill, [parent])._replace(ended={parent: "?"})
    await mill.send([child])

    async def named(*seen: str) -> list[str]:
        found = await mill.queue.overdue(60_000, 10, 10, look_ms=0, seen=seen)
        return [one.job for one in found]

    assert await named() == [child.id]
    await asyncio.sleep(0.002)
    assert await named() == [child.id]
    assert await named(child.id) == []
    await mill.queue.join({child.id: [(parent, "cancelled")]})
    assert await named(child.id) == []
    assert await mill.dependents() == set()

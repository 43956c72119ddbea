"""Jobs that wait for others go on, or end, as those end: watch, the outbox, join."""

from __future__ import annotations

import asyncio

import pytest

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.submitting import new_job

from .kin import FAR, deliver, dependent, family, last, outbox, run_all, submit_family
from .mill import Mill


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
    await mill.register()
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
    assert await mill.awaited(parent) == set()


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
    await mill.register()
    parents, child = family(mill, parents=2)
    await mill.send(parents)
    await run_all(mill)
    await deliver(mill)
    await mill.send([child])
    assert await mill.story(child.id) == ["submitted", "joined"]
    assert await run_all(mill) == [child.id]


async def test_a_failure_that_came_before_it_ends_it_at_once(mill: Mill) -> None:
    await mill.register()
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
    await mill.register()
    live, over = await mill.submit(2)
    await mill.cancel(over)
    child = dependent(mill, [live])
    assert await mill.queue.watch([(live, child.id), (over, child.id)]) == ["lives", "gone"]
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

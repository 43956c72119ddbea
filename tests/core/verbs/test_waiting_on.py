"""Jobs that wait for one to be run again, and how many may wait for one."""

from __future__ import annotations

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.linking import MAX_DEPENDENTS, Outcome
from millstream.core.submitting import new_job

from .kin import deliver, dependent, last, outbox, run_all, submit_family
from .mill import Mill


async def failed(mill: Mill, policy: str = "wait") -> tuple[str, int, str]:
    """A job that failed for good, the version of that, and one that waits for it."""
    (parent,), child = await submit_family(mill, policy)
    await run_all(mill, "failed")
    await deliver(mill)
    return parent, (await mill.log(parent))[-1].version, child


async def test_who_waits_for_a_job_that_is_discarded_fails_and_says_why(mill: Mill) -> None:
    parent, version, child = await failed(mill)
    assert await mill.story(child) == ["submitted"]
    assert await mill.discard(parent, version) == "discarded"
    assert await mill.awaited(parent) == set()
    await deliver(mill)
    event = await last(mill, child)
    assert isinstance(event, ev.JobFailed)
    assert (event.reason, event.parent) == ("parent_failed", parent)
    assert event.error is not None
    assert event.error.message == f"job {parent}, which it depends on, failed and was discarded"
    assert await mill.parents(child) == set()
    await deliver(mill)
    assert await outbox(mill) == 0


async def test_who_follows_it_is_told_too(mill: Mill) -> None:
    parent, version, child = await failed(mill)
    more = dependent(mill, [child])
    await mill.queue.watch([(child, more.id)])
    await mill.send([more])
    await mill.discard(parent, version)
    await deliver(mill)
    event = await last(mill, more.id)
    assert isinstance(event, ev.JobFailed)
    assert event.parent == child


async def test_a_discarded_job_that_is_run_again_lets_go_on_nobody_it_ended(mill: Mill) -> None:
    parent, version, child = await failed(mill)
    await mill.discard(parent, version)
    assert await mill.redrive(parent, version + 1) == "queued"
    await run_all(mill)
    await deliver(mill)
    assert (await mill.story(child))[-1] == "failed"


async def test_one_that_is_not_discarded_tells_nobody(mill: Mill) -> None:
    parent, version, child = await failed(mill)
    assert await mill.discard(parent, version) == "discarded"
    await deliver(mill)
    assert await mill.discard(parent, version) == "stale"
    assert await outbox(mill) == 0
    assert (await mill.story(child)).count("failed") == 1


async def test_who_is_submitted_after_the_parent_was_discarded_fails_at_once(mill: Mill) -> None:
    parent, version, _ = await failed(mill)
    await mill.discard(parent, version)
    child = dependent(mill, [parent], "wait")._replace(ended={parent: "discarded"})
    runs = dependent(mill, [parent], "run")._replace(ended={parent: "discarded"})
    await mill.send([child, runs])
    assert await mill.story(child.id) == ["submitted", "failed"]
    assert await mill.story(runs.id) == ["submitted", "joined"]


async def watched(mill: Mill, parent: str, count: int) -> list[str]:
    ids = [new_id(mill.partition) for _ in range(count)]
    for first in range(0, count, 1000):
        replies = await mill.queue.watch([(parent, id) for id in ids[first : first + 1000]])
        assert set(replies) == {"lives"}
    return ids


async def test_as_many_wait_for_a_job_as_may_and_not_one_more(mill: Mill) -> None:
    (parent,) = await mill.submit()
    ids = await watched(mill, parent, MAX_DEPENDENTS)
    late = new_id(mill.partition)
    assert await mill.queue.watch([(parent, late), (parent, ids[7])]) == ["full", "lives"]
    assert len(await mill.awaited(parent)) == MAX_DEPENDENTS
    assert late not in await mill.awaited(parent)


async def test_all_that_may_wait_for_a_job_are_told_of_its_end(mill: Mill) -> None:
    """Each is told once, in entries of a hundred, though all are noted in the call that ends it."""
    (parent,) = await mill.submit()
    ids = await watched(mill, parent, MAX_DEPENDENTS)
    await run_all(mill)
    assert await outbox(mill) == MAX_DEPENDENTS / 100
    told: list[str] = []
    while found := await mill.queue.collect(1000):
        told += [job for one in found for job in one.dependents]
        await mill.queue.settle([one.entry for one in found])
    assert sorted(told) == sorted(ids)
    assert await mill.awaited(parent) == set()


async def test_of_a_failed_job_no_more_are_kept_than_may_wait(mill: Mill) -> None:
    (parent,) = await mill.submit()
    await run_all(mill, "failed")
    ids = [new_id(mill.partition) + "*" for _ in range(MAX_DEPENDENTS)]
    for first in range(0, MAX_DEPENDENTS, 1000):
        part = [(parent, id) for id in ids[first : first + 1000]]
        assert set(await mill.queue.watch(part, ended=True)) == {"gone"}
    late = new_id(mill.partition) + "*"
    assert await mill.queue.watch([(parent, late)], ended=True) == ["full"]
    assert await mill.queue.watch([(parent, late)]) == ["gone"]


async def test_a_job_waits_for_as_many_as_may_wait_for_one(mill: Mill) -> None:
    """The job that follows a batch of 100,000 goes on with the last of them."""
    child = new_job(
        new_id(mill.partition), ev.JobSubmitted("noop", on_parent_failure="fail", open=True)
    )
    await mill.send([child])
    parents = [new_id(mill.partition) for _ in range(100_000)]
    for first in range(0, len(parents), 1000):
        await mill.queue.extend(child.id, parents[first : first + 1000], {})
    await mill.queue.extend(child.id, [], {}, ev.JobClosed())
    for first in range(0, len(parents), 1000):
        assert await mill.claim() == []
        part = parents[first : first + 1000]
        ends: list[tuple[str, Outcome]] = [(parent, "succeeded") for parent in part]
        await mill.queue.join({child.id: ends})
    assert [lease.id for lease in await mill.claim()] == [child.id]

"""checkpoint: what a step gave is kept once, for the lease it names, until the job ends."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.errors import LogLost
from millstream.core.events import JobCheckpointed
from millstream.core.hot import Lease
from millstream.core.ids import new_id
from millstream.core.jobs import JobState
from millstream.core.queue import Verdict
from millstream.core.renewing import LeaseRenewer
from millstream.core.stepping import MAX_STEPS, Checkpoint, Kept, new_checkpoint
from millstream.core.submitting import NewJob, new_job

from .mill import ADA, Mill

LOCK = "0f343b0931126a20f133d67c2b018a3b"


def done(lease: Lease, step: str, result: Any = None) -> Checkpoint:
    return new_checkpoint(lease.id, lease.fence, JobCheckpointed(step, wrap(result)))


async def keep(mill: Mill, lease: Lease, *steps: str) -> list[Kept]:
    return await mill.queue.checkpoint([done(lease, step, f"by {lease.fence}") for step in steps])


async def kept(mill: Mill, job: str) -> dict[str, Any]:
    """What is kept of a job: step → result."""
    found: dict[str, Any] = {}
    for name in await mill.queue.steps(job):
        step = await mill.queue.step(job, name)
        assert step is not None
        assert step.step == name
        found[name] = step.result.decode()
    return found


async def keys_of_steps(mill: Mill) -> list[bytes]:
    return [key async for key in mill.redis.scan_iter(match="*:steps:*")]


async def test_a_step_is_an_event_and_is_kept(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.queue.checkpoint([done(lease, "charge", {"receipt": 7})]) == [1]
    assert await mill.story(lease.id) == ["submitted", "started", "checkpointed"]
    last = (await mill.log(lease.id))[-1]
    assert (last.version, last.body) == (
        3, b'{"step":"charge","result":{"data":{"receipt":7},"codec":"json"}}',
    )  # fmt: skip
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.version, hot.attempt) == (JobState.RUNNING, 3, 0)
    assert await kept(mill, lease.id) == {"charge": {"receipt": 7}}
    assert await mill.queue.step(lease.id, "pack") is None


async def test_names_may_be_any_text_and_results_may_hold_anything(mill: Mill) -> None:
    lease = await mill.started()
    results = {"é “quoted” \\ {ms}": "\0", "*": 2**63, "a:b|c": [], " ": {"": None}}
    steps = [done(lease, step, result) for step, result in results.items()]
    assert await mill.queue.checkpoint(steps) == [1, 1, 1, 1]
    assert await kept(mill, lease.id) == results


async def test_the_same_step_again_is_kept_as_it_was_first(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.queue.checkpoint([done(lease, "a", 1), done(lease, "a", 2)]) == [1, 1]
    assert await mill.queue.checkpoint([done(lease, "a", 3), done(lease, "b", 4)]) == [1, 1]
    assert await mill.story(lease.id) == ["submitted", "started", "checkpointed", "checkpointed"]
    assert await kept(mill, lease.id) == {"a": 1, "b": 4}


async def test_a_stale_lease_is_refused(mill: Mill) -> None:
    lease = await mill.started()
    assert await keep(mill, lease, "a") == [1]
    await mill.expire()
    assert await keep(mill, lease, "b") == [0], "the job waits for another worker"
    (again,) = await mill.claim(worker="w2")
    assert again.fence > lease.fence
    assert await keep(mill, lease, "b") == [0], "another lease has begun"
    assert await keep(mill, again, "b") == [1]
    assert await kept(mill, lease.id) == {"a": f"by {lease.fence}", "b": f"by {again.fence}"}


async def test_a_job_that_waits_has_ended_or_never_was_is_refused(mill: Mill) -> None:
    (job,) = await mill.submit()
    for fence in (0, 1, 2):
        assert await mill.queue.checkpoint([Checkpoint(job, fence, "a", b"{}")]) == [0]
    (lease,) = await mill.claim()
    await mill.finish(lease, "succeeded")
    assert await keep(mill, lease, "a") == [0]
    assert await mill.queue.checkpoint([Checkpoint("ghost", 2, "a", b"{}")]) == [0]
    (later,) = await mill.submit(delay_ms=60_000)
    assert await mill.queue.checkpoint([Checkpoint(later, 0, "a", b"{}")]) == [0]
    assert await keys_of_steps(mill) == []


async def test_many_jobs_in_one_call_each_answered_for_itself(mill: Mill) -> None:
    await mill.submit(3)
    first, second, third = await mill.claim()
    await mill.finish(second, "succeeded")
    await mill.cancel(third.id)
    steps = [done(lease, step) for step in "ab" for lease in (first, second, third)]
    assert await mill.queue.checkpoint(steps) == [1, 0, 2, 1, 0, 2]
    assert (await mill.story(first.id))[2:] == ["checkpointed", "checkpointed"]
    assert await mill.queue.checkpoint([]) == []


@pytest.mark.parametrize("verdict", ["retry", "snoozed", "released"])
async def test_a_later_attempt_knows_of_the_steps(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    assert not lease.steps
    assert await keep(mill, lease, "a", "b") == [1, 1]
    assert await mill.finish(lease, verdict)
    (again,) = await mill.claim()
    assert again.steps
    assert again.fence > lease.fence
    versions = [record.version for record in await mill.log(lease.id)]
    assert versions == list(range(1, len(versions) + 1))
    assert again.fence == versions[-1]
    assert await keep(mill, again, "c") == [1]
    assert set(await kept(mill, lease.id)) == {"a", "b", "c"}


async def test_a_crash_keeps_the_steps(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    await mill.expire()
    (again,) = await mill.claim(worker="w2")
    assert again.steps
    assert await mill.story(lease.id) == [
        "submitted", "started", "checkpointed", "lease_expired", "started",
    ]  # fmt: skip
    assert (again.fence, again.crashes) == (5, 1)


async def test_a_lost_group_keeps_the_steps(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    await mill.lose_group()
    assert await mill.queue.mend() == 1
    assert await keep(mill, lease, "b") == [0]
    (again,) = await mill.claim()
    assert again.steps
    assert await mill.finish(again, "succeeded")


async def test_a_lost_reply_to_the_claim_is_made_good_as_without_steps(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    (held,) = await mill.claim(held=True)
    assert (held.fence, held.attempt, held.steps) == (lease.fence, 1, True)


async def test_the_lease_is_renewed_as_before(mill: Mill, redis_url: str) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    with Redis.from_url(redis_url) as client:
        renewer = LeaseRenewer(client, mill.keys, "w1")
        assert renewer.renew("default", [(lease.id, lease.fence)]) == [1]
        await mill.cancel(lease.id)
        assert renewer.renew("default", [(lease.id, lease.fence)]) == [2]


async def test_a_cancellation_asked_for_is_told_and_goes_on(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    assert await mill.cancel(lease.id) == ["requested"]
    assert await mill.cancel(lease.id) == ["pending"]
    assert await keep(mill, lease, "b", "b") == [2, 2]
    assert await mill.finish(lease, "retry", delay_ms=5)
    assert await mill.story(lease.id) == [
        "submitted", "started", "checkpointed", "cancel_requested", "checkpointed",
        "attempt_failed", "cancelled",
    ]  # fmt: skip
    assert await keys_of_steps(mill) == []


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "cancelled"])
async def test_the_end_of_a_job_takes_its_steps_away(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    other = await mill.started()
    await keep(mill, other, "a")
    assert await mill.finish(lease, verdict)
    assert await keys_of_steps(mill) == [mill.keys.steps("default", other.id).encode()]


async def test_a_poisonous_one_s_as_well(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    assert await mill.expire(max_crashes=1) == (1, False)
    assert (await mill.story(lease.id))[-1] == "failed"
    assert await keys_of_steps(mill) == []


async def test_one_that_is_cancelled_or_purged_while_it_sleeps(mill: Mill) -> None:
    leases = [await mill.started() for _ in range(3)]
    for lease in leases:
        await keep(mill, lease, "a")
        await mill.finish(lease, "snoozed", delay_ms=60_000)
    await mill.cancel(leases[0].id)
    assert len(await keys_of_steps(mill)) == 2
    assert (await mill.queue.purge(ADA)).jobs == 2
    assert await keys_of_steps(mill) == []


async def test_one_that_has_expired_while_it_slept(mill: Mill) -> None:
    lease = await mill.started(expires_at=await mill.now() + 60_000)
    await keep(mill, lease, "a")
    await mill.finish(lease, "snoozed", delay_ms=60_000)
    await mill.let_pass(60_000)
    await mill.queue.promote()
    assert (await mill.story(lease.id))[-1] == "failed"
    assert await keys_of_steps(mill) == []


async def test_a_redriven_job_starts_afresh(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    await mill.finish(lease, "failed")
    assert await mill.redrive(lease.id, 5) == "queued"
    (again,) = await mill.claim()
    assert not again.steps
    assert await keep(mill, again, "a") == [1]
    assert await kept(mill, lease.id) == {"a": f"by {again.fence}"}


async def test_a_replaced_job_starts_afresh(mill: Mill) -> None:
    def made() -> NewJob:
        spec = ev.JobSubmitted("noop", lock=LOCK, lock_scope="unfinished")
        return new_job(new_id("default"), spec)._replace(policy="replace")

    await mill.send([made()])
    (lease,) = await mill.claim()
    await keep(mill, lease, "a")
    await mill.finish(lease, "snoozed", delay_ms=60_000)
    await mill.send([made()])
    assert await keys_of_steps(mill) == []
    (again,) = await mill.claim()
    assert (again.id, again.steps) == (lease.id, False)
    assert (await mill.story(lease.id))[-2:] == ["replaced", "started"]
    await mill.finish(again, "succeeded")  # its lock is freed: the audit would find it


async def test_a_job_that_is_moved_keeps_its_steps(mill: Mill) -> None:
    lease = await mill.started()
    await keep(mill, lease, "a")
    assert await mill.queue.reschedule([lease.id], "+0", ADA) == ["running"]
    await mill.finish(lease, "snoozed", delay_ms=60_000)
    assert await mill.queue.reschedule([lease.id], "+0", ADA) == ["queued"]
    (again,) = await mill.claim()
    assert again.steps


async def test_a_job_that_waits_for_a_limit_keeps_its_steps(mill: Mill) -> None:
    await mill.queue.configure(ev.QueueConfigured("ada"), {"c:noop": "1"})
    lease = await mill.started()
    await keep(mill, lease, "a")
    await mill.finish(lease, "snoozed")
    other = await mill.started()
    assert await mill.claim() == []  # blocked
    assert (await mill.story(lease.id))[-1] == "blocked"
    await mill.finish(other, "succeeded")
    (again,) = await mill.claim()
    assert (again.id, again.steps) == (lease.id, True)
    assert await keep(mill, again, "b") == [1]
    await mill.finish(again, "succeeded")


async def test_a_job_has_no_more_steps_than_it_may(mill: Mill) -> None:
    lease = await mill.started()
    names = [f"step-{n}" for n in range(MAX_STEPS)]
    assert set(await keep(mill, lease, *names)) == {1}
    assert await keep(mill, lease, "one-more", "step-7") == [-1, 1]
    assert len(await mill.queue.steps(lease.id)) == MAX_STEPS
    assert await mill.finish(lease, "succeeded")


async def test_a_lease_the_server_lost_in_a_crash_is_refused(mill: Mill) -> None:
    lease = await mill.started()
    # As if the claim had not been written: the entry stands as before, nobody was given it.
    await mill.redis.hdel(mill.keys.meta("default"), "delivered:5")
    assert await keep(mill, lease, "a") == [0]
    await mill.redis.hset(mill.keys.meta("default"), "delivered:5", "9999999999999-0")
    assert await keep(mill, lease, "a") == [1]


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    lease = await mill.started()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await keep(mill, lease, "a")
    assert await keys_of_steps(mill) == []


async def test_a_full_memory_takes_steps_all_the_same(mill: Mill) -> None:
    lease = await mill.started()
    await mill.redis.config_set("maxmemory", 1)
    try:
        assert await keep(mill, lease, "a") == [1]
    finally:
        await mill.redis.config_set("maxmemory", 0)

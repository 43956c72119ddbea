"""finish: a verdict counts once, and only from the lease it names."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from redis.exceptions import ResponseError

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.hot import Lease
from millstream.core.jobs import JobState
from millstream.core.queue import Finish, Verdict

from .mill import FAULT, Mill, verdict_on

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
AGAIN: tuple[Verdict, ...] = ("retry", "snoozed", "released", "crashed")


async def test_succeeded_ends_the_job(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "succeeded")
    assert await mill.story(lease.id) == ["submitted", "started", "succeeded"]
    assert not await mill.lives(lease.id)
    assert await mill.claim() == []


async def test_a_retry_waits_and_costs_an_attempt(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "retry", delay_ms=60_000)
    assert await mill.story(lease.id) == ["submitted", "started", "attempt_failed"]
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.attempt, hot.version) == (JobState.RETRYING, 1, 3)
    claim = await mill.queue.claim("w1", 1)
    assert claim.leases == []
    assert 50_000 < claim.next_due - claim.now <= 60_000


async def test_a_retry_that_is_due_is_the_next_attempt(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "retry")
    (again,) = await mill.claim()
    assert (again.attempt, again.fence) == (2, 5)
    assert (await mill.log(lease.id))[3].body == b'{"cause":"retry"}'


async def test_failed_tells_of_the_attempt_and_of_the_end(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "failed")
    log = await mill.log(lease.id)
    assert [one.type for one in log[2:]] == ["job.attempt_failed", "job.failed"]
    assert log[2].body == ev.body_of(ev.JobAttemptFailed(FAULT))
    assert log[3].body == b'{"reason":"exhausted"}'


async def test_failed_without_an_attempt_to_tell_of(mill: Mill) -> None:
    lease = await mill.started()
    end = ev.body_of(ev.JobFailed("handler_missing"))
    assert await mill.queue.finish([Finish(lease.id, lease.fence, "failed", b"", 0, end)]) == [True]
    assert await mill.story(lease.id) == ["submitted", "started", "failed"]


@pytest.mark.parametrize("verdict", ["snoozed", "released"])
async def test_a_job_put_off_waits_and_costs_no_attempt(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, verdict, delay_ms=60_000)
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.attempt) == (JobState.SCHEDULED, 0)
    assert await mill.claim() == []
    assert (await mill.queue.promote())[1] > await mill.now() + 50_000


async def test_released_at_once_is_ready_at_once(mill: Mill) -> None:
    lease = await mill.started()
    await mill.mute()
    assert await mill.finish(lease, "released")
    assert await mill.bell() == 1
    (again,) = await mill.claim()
    assert (again.id, again.attempt, again.fence) == (lease.id, 1, 4)


async def test_a_crash_is_counted_apart_and_ready_at_once(mill: Mill) -> None:
    lease = await mill.started()
    await mill.mute()
    assert await mill.finish(lease, "crashed")
    assert await mill.bell() == 1
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.attempt, hot.crashes) == (JobState.QUEUED, 0, 1)
    (again,) = await mill.claim()
    assert (again.id, again.attempt, again.crashes, again.fence) == (lease.id, 1, 1, 4)
    assert await mill.story(lease.id) == ["submitted", "started", "crashed", "started"]


async def test_a_crash_with_a_wait_is_counted_and_runs_when_it_is_due(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "crashed", delay_ms=1)
    assert (await mill.hot(lease.id)).state is JobState.SCHEDULED
    while not (await mill.queue.promote())[0]:
        pass
    (again,) = await mill.claim()
    assert (again.id, again.attempt, again.crashes) == (lease.id, 1, 1)
    assert await mill.story(lease.id) == ["submitted", "started", "crashed", "queued", "started"]


async def test_a_crash_too_many_ends_the_job(mill: Mill) -> None:
    lease = await mill.started()
    said = verdict_on(lease, "crashed")
    poison = ev.body_of(ev.JobFailed("poison", FAULT))
    assert await mill.queue.finish([said._replace(end=poison)]) == [True]
    log = await mill.log(lease.id)
    assert [one.type for one in log[2:]] == ["job.crashed", "job.failed"]
    assert (log[2].body, log[3].body) == (said.body, poison)
    assert not await mill.lives(lease.id)


async def test_a_crash_too_many_of_a_job_to_be_cancelled(mill: Mill) -> None:
    lease = await mill.started()
    await mill.cancel(lease.id)
    said = verdict_on(lease, "crashed")._replace(end=ev.body_of(ev.JobFailed("poison")))
    assert await mill.queue.finish([said]) == [True]
    assert (await mill.story(lease.id))[-2:] == ["crashed", "cancelled"]


async def test_crashes_of_both_kinds_count_together(mill: Mill) -> None:
    lease = await mill.started()
    await mill.expire()
    (again,) = await mill.claim()
    assert (lease.crashes, again.crashes) == (0, 1)
    assert await mill.finish(again, "crashed")
    (last,) = await mill.claim()
    assert (last.crashes, last.attempt) == (2, 1)


async def test_cancelled_by_its_worker(mill: Mill) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, "cancelled")
    assert await mill.story(lease.id) == ["submitted", "started", "cancelled"]


@pytest.mark.parametrize("verdict", VERDICTS)
async def test_a_second_verdict_is_refused(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    assert await mill.finish(lease, verdict, delay_ms=60_000)
    story = await mill.story(lease.id)
    for other in VERDICTS:
        assert not await mill.finish(lease, other)
    assert await mill.story(lease.id) == story


@pytest.mark.parametrize("verdict", VERDICTS)
async def test_of_two_verdicts_in_one_batch_the_first_counts(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    both = [verdict_on(lease, verdict), verdict_on(lease, "succeeded")]
    assert await mill.queue.finish(both) == [True, False]
    assert "succeeded" not in (await mill.story(lease.id))[3:]


async def test_a_stale_verdict_before_the_good_one_of_the_same_batch(mill: Mill) -> None:
    old = await mill.started()
    await mill.expire()
    (new,) = await mill.claim(worker="w2")
    batch = [verdict_on(old, "failed"), verdict_on(new, "succeeded"), verdict_on(old, "retry")]
    assert await mill.queue.finish(batch) == [False, True, False]


@pytest.mark.parametrize("verdict", VERDICTS)
async def test_a_reaped_lease_is_stale(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    await mill.expire()
    assert not await mill.finish(lease, verdict)  # while it waits
    (new,) = await mill.claim(worker="w2")
    assert new.fence > lease.fence
    assert not await mill.finish(lease, verdict)  # while another runs it
    assert await mill.finish(new, "succeeded")
    assert not await mill.finish(lease, verdict)  # after it has ended


@pytest.mark.parametrize("fence", [0, 1, 3, 2**32 - 1])
async def test_another_fence_is_refused(mill: Mill, fence: int) -> None:
    lease = await mill.started()
    assert not await mill.finish(lease, "succeeded", fence=fence)
    assert await mill.finish(lease, "succeeded")


async def test_a_job_that_was_not_started_has_no_lease(mill: Mill) -> None:
    """After a power loss a worker may hold a lease whose job.started the log has lost."""
    (job,) = await mill.submit()
    lease = Lease("default", job, 2, 1, 0, 0, b"")
    for verdict in VERDICTS:
        assert not await mill.finish(lease, verdict)
    first, second = await mill.submit(2, priority=3)
    (given,) = await mill.claim(1)
    assert given.id == first
    assert not await mill.finish(Lease("default", second, 2, 1, 0, 0, b""), "succeeded")
    assert await mill.story(second) == ["submitted"]


async def test_a_scheduled_job_has_no_lease(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    for fence in (0, 1, 2):
        lease = Lease("default", job, fence, 1, 0, 0, b"")
        assert not await mill.finish(lease, "succeeded")


async def test_a_job_that_never_was(mill: Mill) -> None:
    lease = Lease("default", "0197a5c0-0000-7000-8000-000000000001", 2, 1, 0, 0, b"")
    assert not await mill.finish(lease, "succeeded")
    assert await mill.log() == []


@pytest.mark.parametrize("verdict", AGAIN)
@pytest.mark.parametrize("delay_ms", [0, 60_000])
async def test_a_job_to_be_cancelled_does_not_run_again(
    mill: Mill, verdict: Verdict, delay_ms: int
) -> None:
    lease = await mill.started()
    assert await mill.cancel(lease.id) == ["requested"]
    assert await mill.finish(lease, verdict, delay_ms=delay_ms)
    name = {"retry": "attempt_failed"}.get(verdict, verdict)
    assert await mill.story(lease.id) == [
        "submitted", "started", "cancel_requested", name, "cancelled",
    ]  # fmt: skip
    assert not await mill.lives(lease.id)
    assert await mill.claim() == []


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "cancelled"])
async def test_a_job_to_be_cancelled_may_have_ended_otherwise(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    await mill.cancel(lease.id)
    assert await mill.finish(lease, verdict)
    assert (await mill.story(lease.id))[-1] == verdict


async def test_no_verdicts(mill: Mill) -> None:
    assert await mill.queue.finish([]) == []


async def test_large_batches_of_every_verdict(mill: Mill) -> None:
    await mill.submit(1000, priority=2)
    await mill.submit(1000, priority=7)
    leases = [*await mill.claim(1000), *await mill.claim(1000)]
    # Priorities are strict, so this takes both lanes in one batch from the middle on.
    leases = leases[::2] + leases[1::2]
    verdicts = [verdict_on(lease, VERDICTS[n % len(VERDICTS)]) for n, lease in enumerate(leases)]
    assert await mill.queue.finish(verdicts) == [True] * 2000
    assert await mill.queue.finish(verdicts) == [False] * 2000
    ended = {"succeeded", "failed", "cancelled"}
    assert await _live(mill) == sum(verdict.verdict not in ended for verdict in verdicts)


async def _live(mill: Mill) -> int:
    count = 0
    async for _ in mill.redis.scan_iter(match="{ms:default}:job:*", count=1000):
        count += 1
    return count


async def test_ended_jobs_leave_nothing_behind(mill: Mill) -> None:
    await mill.submit(50)
    leases = await mill.claim()
    assert all(await mill.queue.finish([verdict_on(lease, "succeeded") for lease in leases]))
    await mill.claim()
    kinds = {key.decode().split(":")[2] async for key in mill.redis.scan_iter()}
    assert kinds == {"log", "meta", "once", "ready", "bell"}
    assert await mill.redis.xlen(mill.keys.ready("default", 5)) == 0


async def test_a_lost_group_does_not_stop_verdicts(mill: Mill) -> None:
    await mill.submit(3)
    leases = await mill.claim()
    await mill.lose_group()
    assert await mill.finish(leases[0], "succeeded")
    assert await mill.finish(leases[1], "retry", delay_ms=60_000)
    assert await mill.queue.mend() == 1
    assert not await mill.finish(leases[2], "succeeded")


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    lease = await mill.started()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.finish(lease, "succeeded")


@pytest.mark.parametrize(
    "wrong", [{"verdict": "exploded"}, {"verdict": "retry", "delay_ms": "soon"}]
)
async def test_a_verdict_that_is_none_stops_the_batch_before_anything_is_written(
    mill: Mill, wrong: dict[str, Any]
) -> None:
    await mill.submit(2)
    first, second = await mill.claim()
    batch = [verdict_on(first, "succeeded"), verdict_on(second, "succeeded")._replace(**wrong)]
    with pytest.raises(ResponseError, match=f"INVALID verdict on job {second.id}"):
        await mill.queue.finish(batch)
    assert await mill.story(first.id) == ["submitted", "started"]
    assert await mill.finish(first, "succeeded")


async def test_scripts_forgotten(mill: Mill) -> None:
    lease = await mill.started()
    await mill.redis.script_flush()
    assert await mill.finish(lease, "succeeded")

"""progress: how far a running job has come is told for the lease it names, and no other."""

from __future__ import annotations

import pytest

from millstream.core.errors import LogLost
from millstream.core.events import JobProgressed
from millstream.core.hot import Lease
from millstream.core.jobs import JobState
from millstream.core.progressing import Heard, Told, new_told
from millstream.core.queue import Verdict

from .mill import Mill


async def tell(mill: Mill, *told: tuple[Lease, float]) -> list[Heard]:
    return await mill.queue.progress(
        [new_told(lease.id, lease.fence, JobProgressed(value)) for lease, value in told]
    )


async def test_progress_is_an_event_and_nothing_else(mill: Mill) -> None:
    lease = await mill.started()
    keys = {key async for key in mill.redis.scan_iter()}
    size = await mill.redis.strlen(mill.keys.job("default", lease.id))
    assert await tell(mill, (lease, 0.25), (lease, 0.5)) == [1, 1]
    assert await mill.story(lease.id) == ["submitted", "started", "progressed", "progressed"]
    last = (await mill.log(lease.id))[-1]
    assert (last.version, last.body) == (4, b'{"value":0.5}')
    hot = await mill.hot(lease.id)
    assert (hot.state, hot.version, hot.attempt) == (JobState.RUNNING, 4, 0)
    assert {key async for key in mill.redis.scan_iter()} == keys
    assert await mill.redis.strlen(mill.keys.job("default", lease.id)) == size


@pytest.mark.parametrize("verdict", ["succeeded", "retry", "failed", "snoozed", "released"])
async def test_the_lease_goes_on_to_any_verdict(mill: Mill, verdict: Verdict) -> None:
    lease = await mill.started()
    await tell(mill, (lease, 0.25))
    with mill.renewer() as renewer:
        assert renewer.renew("default", [(lease.id, lease.fence)]) == [1]
    assert await mill.finish(lease, verdict)
    assert await tell(mill, (lease, 0.5)) == [0]
    versions = [record.version for record in await mill.log(lease.id)]
    assert versions == list(range(1, len(versions) + 1))


async def test_a_stale_lease_is_refused(mill: Mill) -> None:
    lease = await mill.started()
    await mill.expire()
    assert await tell(mill, (lease, 0.5)) == [0], "the job waits for another worker"
    (again,) = await mill.claim(worker="w2")
    assert await tell(mill, (lease, 0.6), (again, 0.1)) == [0, 1]
    assert (await mill.story(lease.id))[-2:] == ["started", "progressed"]
    (held,) = await mill.claim(worker="w2", held=True)
    assert held.fence == again.fence, "the fence stays that of its start"


async def test_a_job_that_waits_has_ended_or_never_was_is_refused(mill: Mill) -> None:
    (job,) = await mill.submit()
    for fence in (0, 1, 2):
        assert await mill.queue.progress([Told(job, fence, b'{"value":1.0}')]) == [0]
    (lease,) = await mill.claim()
    await mill.finish(lease, "succeeded")
    assert await tell(mill, (lease, 0.5)) == [0]
    assert await mill.queue.progress([Told("ghost", 2, b'{"value":1.0}')]) == [0]
    assert await mill.queue.progress([]) == []


async def test_many_jobs_in_one_call_each_answered_for_itself(mill: Mill) -> None:
    await mill.submit(3)
    first, second, third = await mill.claim()
    await mill.finish(second, "succeeded")
    await mill.cancel(third.id)
    told = await tell(mill, (first, 0.1), (second, 0.1), (third, 0.1))
    assert told == [1, 0, 2]


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    lease = await mill.started()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await tell(mill, (lease, 0.5))

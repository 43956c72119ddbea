"""mode: a paused queue gives no jobs, a draining one takes none, and neither touches what runs."""

from __future__ import annotations

import pytest
from redis import exceptions

from millstream.core.errors import LogLost, QueueDraining

from .mill import ADA, Mill
from .test_promote import due


async def queue_events(mill: Mill) -> list[str]:
    return [one.type for one in await mill.log("")]


async def test_a_paused_queue_takes_jobs_and_gives_none(mill: Mill) -> None:
    assert await mill.queue.set_mode("paused", ADA)
    (job,) = await mill.submit()
    assert await mill.claim() == []
    assert await mill.queue.set_mode("open", ADA)
    assert [lease.id for lease in await mill.claim()] == [job]
    events = await mill.log("")
    assert [one.type for one in events] == ["queue.paused", "queue.resumed"]
    assert {one.body for one in events} == {b'{"actor":"ada","reason":"test"}'}
    assert {one.version for one in events} == {0}


@pytest.mark.parametrize("mode", ["open", "paused", "draining"])
async def test_the_same_again_is_no_event(mill: Mill, mode: str) -> None:
    await mill.submit()
    await mill.queue.set_mode(mode, ADA)  # pyright: ignore[reportArgumentType]
    before = await mill.log()
    assert not await mill.queue.set_mode(mode, ADA)  # pyright: ignore[reportArgumentType]
    assert await mill.log() == before


async def test_what_runs_when_it_is_paused_goes_on(mill: Mill) -> None:
    lease = await mill.started()
    retried = await mill.started()
    await mill.queue.set_mode("paused", ADA)
    assert [one.id for one in await mill.claim(held=True)] == [lease.id, retried.id]
    assert await mill.finish(lease, "succeeded")
    assert await mill.finish(retried, "retry")
    assert await mill.claim() == []


async def test_leases_expire_in_a_paused_queue(mill: Mill) -> None:
    lease = await mill.started()
    await mill.queue.set_mode("paused", ADA)
    assert await mill.expire() == (1, False)
    assert await mill.claim() == []
    await mill.queue.set_mode("open", ADA)
    assert [one.id for one in await mill.claim()] == [lease.id]


async def test_due_jobs_are_promoted_in_a_paused_queue(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    later = await mill.submit(delay_ms=90_000)
    await due(mill, job)
    await mill.queue.set_mode("paused", ADA)
    claim = await mill.queue.claim("w1", 10)
    assert claim.leases == []
    assert claim.next_due > claim.now
    assert await mill.story(job) == ["submitted", "queued"]
    assert await mill.lives(later[0])


async def test_a_claim_of_a_paused_queue_does_not_ring(mill: Mill) -> None:
    await mill.submit(5)
    await mill.queue.set_mode("paused", ADA)
    await mill.mute()
    assert await mill.claim(2) == []
    assert await mill.bell() == 0


async def test_resuming_rings_the_bell(mill: Mill) -> None:
    await mill.submit()
    await mill.queue.set_mode("paused", ADA)
    await mill.mute()
    await mill.queue.set_mode("open", ADA)
    assert await mill.bell() == 1


async def test_a_draining_queue_gives_jobs_and_takes_none(mill: Mill) -> None:
    (job,) = await mill.submit()
    assert await mill.queue.set_mode("draining", ADA)
    with pytest.raises(QueueDraining, match="queue default takes no jobs until it is resumed"):
        await mill.submit()
    (lease,) = await mill.claim()
    assert lease.id == job
    assert await mill.finish(lease, "retry", delay_ms=0)  # its own retries are what it has
    await mill.queue.set_mode("open", ADA)
    await mill.submit()
    assert await queue_events(mill) == ["queue.draining", "queue.resumed"]


async def test_a_submission_done_before_is_answered_while_draining(mill: Mill) -> None:
    first = await mill.submit_many(2, command="c1")
    await mill.queue.set_mode("draining", ADA)
    again = await mill.submit_many(2, command="c1")
    assert (again.first_seq, again.again) == (first.first_seq, True)


async def test_a_draining_queue_takes_no_redriven_jobs(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "failed")
    await mill.queue.set_mode("draining", ADA)
    before = await mill.log()
    with pytest.raises(QueueDraining):
        await mill.redrive(lease.id, 4)
    assert await mill.log() == before


async def test_one_mode_follows_another(mill: Mill) -> None:
    (job,) = await mill.submit()
    await mill.queue.set_mode("paused", ADA)
    await mill.mute()
    assert await mill.queue.set_mode("draining", ADA)
    assert await mill.bell() == 1
    assert [lease.id for lease in await mill.claim()] == [job]
    assert await mill.queue.set_mode("paused", ADA)
    await mill.submit()
    assert await mill.claim() == []


async def test_a_waiting_job_of_a_paused_queue_can_be_moved_and_cancelled(mill: Mill) -> None:
    one, other = await mill.submit(2)
    await mill.queue.set_mode("paused", ADA)
    assert await mill.queue.reschedule([one], "+60000", ADA) == ["rescheduled"]
    assert await mill.cancel(one, other) == ["cancelled", "cancelled"]


async def test_what_is_no_mode_is_refused(mill: Mill) -> None:
    with pytest.raises(exceptions.ResponseError, match="INVALID mode: asleep"):
        await mill.queue.set_mode("asleep", ADA)  # pyright: ignore[reportArgumentType]
    assert await mill.log() == []


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.submit()
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.queue.set_mode("paused", ADA)

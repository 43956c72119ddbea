"""redrive: an ended job runs again, once for each time it has ended."""

from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.ids import new_ids
from millstream.core.jobs import JobState
from millstream.core.queue import Redrive
from millstream.core.upcast import decode

from .mill import ADA, Mill


async def failed(mill: Mill) -> str:
    """A job that has failed, at version 4."""
    lease = await mill.started()
    assert await mill.finish(lease, "failed")
    return lease.id


async def test_it_runs_again_with_fresh_attempts(mill: Mill) -> None:
    job = await failed(mill)
    await mill.mute()
    assert await mill.redrive(job, 4) == "queued"
    assert await mill.bell() == 1
    hot = await mill.hot(job)
    assert (hot.state, hot.version, hot.attempt, hot.crashes) == (JobState.QUEUED, 5, 0, 0)
    (lease,) = await mill.claim()
    assert (lease.id, lease.attempt, lease.crashes, lease.fence) == (job, 1, 0, 6)
    assert await mill.finish(lease, "succeeded")
    assert (await mill.log(job))[4].body == b'{"actor":"ada","reason":"test"}'


async def test_a_live_job_is_left_alone(mill: Mill) -> None:
    job = await failed(mill)
    assert await mill.redrive(job, 4) == "queued"
    assert await mill.redrive(job, 4) == "live"
    (lease,) = await mill.claim()
    assert await mill.redrive(job, 5) == "live"
    assert await mill.finish(lease, "snoozed", delay_ms=60_000)
    assert await mill.redrive(job, 7) == "live"


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "cancelled"])
async def test_who_read_an_older_end_is_stale(mill: Mill, verdict: str) -> None:
    job = await failed(mill)
    assert await mill.redrive(job, 4) == "queued"
    (lease,) = await mill.claim()
    assert await mill.finish(lease, verdict)  # pyright: ignore[reportArgumentType]
    last = (await mill.log(job))[-1].version
    before = len(await mill.log())
    assert await mill.redrive(job, 4) == "stale"
    assert len(await mill.log()) == before
    assert await mill.redrive(job, last) == "queued"


async def test_stale_also_after_a_cancel_and_after_too_many_crashes(mill: Mill) -> None:
    job = await failed(mill)
    await mill.redrive(job, 4)
    await mill.cancel(job)  # version 6
    assert await mill.redrive(job, 4) == "stale"
    assert await mill.redrive(job, 6) == "queued"
    await mill.claim()
    await mill.expire(max_crashes=1)  # started 8, lease expired 9, failed 10
    assert await mill.redrive(job, 6) == "stale"
    assert await mill.redrive(job, 10) == "queued"


async def test_the_note_of_an_end_goes_by_itself(mill: Mill) -> None:
    job = await failed(mill)
    await mill.redrive(job, 4)
    await mill.cancel(job)
    await mill.queue.trim(len(await mill.log()), 1)  # once it is archived
    assert 0 < await mill.redis.pttl(f"{{ms:default}}:gone:{job}") <= 3_600_000
    await mill.redrive(job, 6)
    assert await mill.redis.exists(f"{{ms:default}}:gone:{job}") == 0


async def test_many_with_one_reply_each(mill: Mill) -> None:
    jobs = [await failed(mill) for _ in range(3)]
    (live,) = await mill.submit()
    spec = ev.body_of(ev.JobSubmitted("noop"))
    asked = [Redrive(job, 5, 4, spec) for job in (jobs[0], live, jobs[1], jobs[0], jobs[2])]
    assert await mill.queue.redrive(asked, ADA) == ["queued", "live", "queued", "live", "queued"]
    assert await mill.queue.redrive([], ADA) == []


async def test_a_thousand(mill: Mill) -> None:
    ids = list(new_ids("default", 1000))
    spec = ev.body_of(ev.JobSubmitted("noop"))
    replies = await mill.queue.redrive([Redrive(id, 2, 3, spec) for id in ids], ADA)
    assert replies == ["queued"] * 1000
    assert [lease.fence for lease in await mill.claim(1000)] == [5] * 1000
    # These never were: what the archive would say of them is left out here.
    mill.broken |= {"never-submitted", "hot-orphan", "ready-orphan"}


async def test_it_is_queued_with_its_priority_and_spec(mill: Mill) -> None:
    (job,) = await mill.submit(priority=8)
    (lease,) = await mill.claim()
    await mill.finish(lease, "cancelled")
    (other,) = await mill.submit(priority=5)
    assert await mill.redrive(job, 3, priority=8) == "queued"
    assert [lease.id for lease in await mill.claim()] == [other, job]


async def test_it_does_not_expire_again(mill: Mill) -> None:
    past = await mill.now() - 1
    (job,) = await mill.submit(expires_at=past)
    assert await mill.claim() == []
    spec = (await mill.log(job))[0].body
    assert await mill.queue.redrive([Redrive(job, 5, 2, spec)], ADA) == ["queued"]
    assert [lease.id for lease in await mill.claim()] == [job]


async def later(mill: Mill, job: str, version: int, delay_ms: int) -> str:
    spec = (await mill.log(job))[0].body
    by = ev.JobRedriven("ada", "test", command="c1")
    (reply,) = await mill.queue.redrive([Redrive(job, 5, version, spec, delay_ms)], by)
    return reply


async def test_for_later_it_waits_for_its_time(mill: Mill) -> None:
    job = await failed(mill)
    await mill.mute()
    before = await mill.now()
    assert await later(mill, job, 4, 60_000) == "scheduled"
    after = await mill.now()
    hot = await mill.hot(job)
    assert (hot.state, hot.version, hot.attempt) == (JobState.SCHEDULED, 5, 0)
    record = (await mill.log(job))[-1]
    event = decode(record)
    assert isinstance(event, ev.JobRedriven)
    assert (event.actor, event.reason, event.command) == ("ada", "test", "c1")
    assert event.run_at is not None
    assert before + 60_000 <= event.run_at <= after + 60_000
    assert await mill.queue.promote() == (0, event.run_at)
    assert await mill.claim() == []
    assert await later(mill, job, 4, 0) == "live"


async def test_when_its_time_has_come_it_is_queued_with_fresh_attempts(mill: Mill) -> None:
    job = await failed(mill)
    assert await later(mill, job, 4, 1) == "scheduled"
    assert await mill.bell() == 1  # so that nobody sleeps past it
    while await mill.now() <= (await mill.log(job))[-1].time + 1:
        pass
    (lease,) = await mill.claim()
    assert (lease.id, lease.attempt, lease.fence) == (job, 1, 7)
    assert await mill.finish(lease, "failed")
    assert await mill.story(job) == [
        "submitted", "started", "attempt_failed", "failed", "redriven", "queued", "started",
        "attempt_failed", "failed",
    ]  # fmt: skip
    assert await mill.redrive(job, 4) == "stale"
    assert await mill.redrive(job, 9) == "queued"


async def test_a_job_that_waits_for_its_redrive_can_be_moved_and_cancelled(mill: Mill) -> None:
    one, two = await failed(mill), await failed(mill)
    assert [await later(mill, job, 4, 60_000) for job in (one, two)] == ["scheduled"] * 2
    assert await mill.queue.reschedule([one], "+0", ADA) == ["queued"]
    assert await mill.cancel(two) == ["cancelled"]
    assert [lease.id for lease in await mill.claim()] == [one]


@pytest.mark.parametrize("delay", [-1, "x", "", 2**60])
async def test_what_is_no_delay_is_refused_before_anything_is_done(mill: Mill, delay: Any) -> None:
    jobs = [await failed(mill), await failed(mill)]
    spec = (await mill.log(jobs[0]))[0].body
    before = len(await mill.log())
    asked = [Redrive(jobs[0], 5, 4, spec, 0), Redrive(jobs[1], 5, 4, spec, delay)]
    with pytest.raises(exceptions.ResponseError, match="INVALID delay"):
        await mill.queue.redrive(asked, ADA)
    assert len(await mill.log()) == before


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    job = await failed(mill)
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.redrive(job, 4)

"""reschedule: a waiting job gets another time; one that runs or has ended keeps its own."""

from __future__ import annotations

import pytest
from redis import exceptions

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.jobs import JobState
from millstream.core.upcast import decode

from .mill import ADA, Mill


async def reschedule(mill: Mill, due: int | str, *ids: str) -> list[str]:
    return await mill.queue.reschedule(ids, due, ADA)


async def test_a_scheduled_job_to_another_time(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    at = await mill.now() + 120_000
    assert await reschedule(mill, at, job) == ["rescheduled"]
    assert await mill.queue.promote() == (0, at)
    last = (await mill.log(job))[-1]
    assert decode(last) == ev.JobRescheduled("ada", "test", at)
    assert last.body == b'{"actor":"ada","reason":"test","run_at":%d}' % at


async def test_a_delay_counts_by_the_clock_of_the_server(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    before = await mill.now()
    assert await mill.queue.reschedule([job], "+5000", ev.Command()) == ["rescheduled"]
    event = decode((await mill.log(job))[-1])
    assert isinstance(event, ev.JobRescheduled)
    assert (event.actor, event.reason) == ("", "")
    assert before + 5000 <= event.run_at <= await mill.now() + 5000


@pytest.mark.parametrize("due", ["+0", 0, 1, -5])
async def test_now_or_past_means_at_once(mill: Mill, due: int | str) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    await mill.mute()
    assert await reschedule(mill, due, job) == ["queued"]
    assert await mill.bell() == 1
    assert await mill.story(job) == ["submitted", "rescheduled", "queued"]
    told = await mill.log(job)
    event = decode(told[1])
    assert isinstance(event, ev.JobRescheduled)
    assert abs(event.run_at - told[1].time) <= 1
    (lease,) = await mill.claim()
    assert (lease.id, lease.attempt, lease.fence) == (job, 1, 4)
    assert await mill.finish(lease, "succeeded")


async def test_a_queued_job_to_later(mill: Mill) -> None:
    job, other = await mill.submit(2)
    assert await reschedule(mill, "+60000", job) == ["rescheduled"]
    assert (await mill.hot(job)).state is JobState.SCHEDULED
    assert [lease.id for lease in await mill.claim()] == [other]


async def test_a_job_that_could_run_already_keeps_its_place(mill: Mill) -> None:
    first, second = await mill.submit(2)
    before = await mill.log()
    assert await reschedule(mill, "+0", first) == ["ready"]
    assert await mill.log() == before
    assert [lease.id for lease in await mill.claim()] == [first, second]


async def test_a_retry_at_once_counts_as_the_next_attempt(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "retry", delay_ms=60_000)
    assert await reschedule(mill, "+0", lease.id) == ["queued"]
    (again,) = await mill.claim()
    assert again.attempt == 2
    assert await mill.finish(again, "succeeded")


async def test_a_released_and_a_reaped_job(mill: Mill) -> None:
    released = await mill.started()
    await mill.finish(released, "released")
    assert await reschedule(mill, "+60000", released.id) == ["rescheduled"]
    reaped = await mill.started()
    await mill.expire()
    assert await reschedule(mill, "+60000", reaped.id) == ["rescheduled"]
    assert not await mill.finish(reaped, "succeeded")
    assert await mill.claim() == []


async def test_a_running_job_is_left_alone(mill: Mill) -> None:
    lease = await mill.started()
    assert await reschedule(mill, "+60000", lease.id) == ["running"]
    await mill.cancel(lease.id)
    assert await reschedule(mill, "+0", lease.id) == ["running"]
    assert await mill.finish(lease, "cancelled")


async def test_not_to_a_time_when_it_has_expired(mill: Mill) -> None:
    expires = await mill.now() + 60_000
    (job,) = await mill.submit(delay_ms=1000, expires_at=expires)
    before = await mill.log()
    assert await reschedule(mill, expires, job) == ["too_late"]
    assert await mill.log() == before
    assert await reschedule(mill, expires - 1, job) == ["rescheduled"]


async def test_an_ended_job_or_one_that_never_was_is_missing(mill: Mill) -> None:
    lease = await mill.started()
    await mill.finish(lease, "succeeded")
    before = await mill.log()
    assert await reschedule(mill, "+0", lease.id, "ghost") == ["missing", "missing"]
    assert await mill.log() == before


async def test_one_reply_each_also_for_the_same_job_twice(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    ready = await mill.submit()
    assert await reschedule(mill, "+0", job, "ghost", *ready, job) == [
        "queued", "missing", "ready", "ready",
    ]  # fmt: skip
    assert await reschedule(mill, "+90000", job, job) == ["rescheduled", "rescheduled"]


async def test_an_earlier_time_rings_for_who_waits_too_long(mill: Mill) -> None:
    first, second = await mill.submit(2, delay_ms=60_000)
    await mill.mute()
    assert await reschedule(mill, "+90000", second) == ["rescheduled"]
    assert await mill.bell() == 0
    assert await reschedule(mill, "+30000", second) == ["rescheduled"]
    assert await mill.bell() == 1
    assert first != second


@pytest.mark.parametrize("due", ["soon", "", "1.5", "+nan", "+-1", "1e300"])
async def test_what_is_no_time_is_refused(mill: Mill, due: str) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    with pytest.raises(exceptions.ResponseError, match="INVALID time"):
        await reschedule(mill, due, job)
    assert await mill.story(job) == ["submitted"]


async def test_a_thousand_at_once(mill: Mill) -> None:
    ids = await mill.submit(500, delay_ms=60_000) + await mill.submit(500, priority=2)
    assert await reschedule(mill, "+0", *ids) == ["queued"] * 500 + ["ready"] * 500
    assert await reschedule(mill, "+9000", *ids) == ["rescheduled"] * 1000
    assert await mill.claim(1000) == []


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    (job,) = await mill.submit(delay_ms=60_000)
    await mill.lose_log()
    with pytest.raises(LogLost):
        await reschedule(mill, "+0", job)

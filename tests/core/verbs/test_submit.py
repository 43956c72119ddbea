"""submit: all jobs or none, once per command."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ResponseError

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.errors import IdTaken, LogLost, MemoryFull
from millstream.core.ids import new_ids
from millstream.core.jobs import JobState
from millstream.core.queue import NewJob, new_job

from .mill import Mill


async def test_jobs_are_queued_in_order(mill: Mill) -> None:
    receipt = await mill.submit_many(3, payload=wrap({"n": 1}), tags=["a"])
    assert (receipt.partition, receipt.epoch, receipt.first_seq) == ("default", 1, 1)
    assert not receipt.again
    log = await mill.log()
    assert [(one.type, one.job, one.version) for one in log] == [
        ("job.submitted", job, 1) for job in mill.accepted
    ]
    assert [receipt.position(n) for n in range(3)] == [one.position for one in log]
    assert [lease.id for lease in await mill.claim()] == mill.accepted


async def test_the_body_is_the_spec_byte_for_byte(mill: Mill) -> None:
    spec = ev.JobSubmitted("noop", payload=wrap({"big": 2**63, "empty": [], "zero": "\0é"}))
    (id,) = new_ids("default", 1)
    await mill.queue.submit([new_job(id, spec)])
    (record,) = await mill.log()
    (lease,) = await mill.claim()
    assert record.body == lease.spec == ev.body_of(spec)
    assert lease.decode() == spec


async def test_positions_go_on(mill: Mill) -> None:
    assert (await mill.submit_many(3)).first_seq == 1
    assert (await mill.submit_many(2)).first_seq == 4


async def test_the_same_command_is_done_once(mill: Mill) -> None:
    first = await mill.submit_many(2, command="c1")
    again = await mill.submit_many(2, command="c1")
    assert again == first._replace(again=True)
    other = await mill.submit_many(2, command="c2")
    assert (other.first_seq, other.again) == (3, False)
    assert len(await mill.log()) == 4


async def test_a_command_sent_twice_at_once_is_done_once(mill: Mill) -> None:
    receipts = await asyncio.gather(*(mill.submit_many(2, command="c1") for _ in range(10)))
    assert sum(not receipt.again for receipt in receipts) == 1
    assert {receipt.first_seq for receipt in receipts} == {1}
    assert len(await mill.log()) == 2


async def test_a_command_is_remembered_also_when_its_jobs_are_gone(mill: Mill) -> None:
    first = await mill.submit_many(1, command="c1")
    (lease,) = await mill.claim()
    assert await mill.finish(lease, "succeeded")
    assert (await mill.submit_many(1, command="c1")) == first._replace(again=True)
    once = await mill.redis.pttl("{ms:default}:once:c1")
    assert 0 < once <= 600_000


async def test_an_id_that_lives_is_refused_and_nothing_accepted(mill: Mill) -> None:
    (taken,) = await mill.submit()
    others = [*new_ids("default", 2)]
    spec = ev.JobSubmitted("noop")
    with pytest.raises(IdTaken, match=taken):
        await mill.queue.submit([new_job(id, spec) for id in (others[0], taken, others[1])])
    assert len(await mill.log()) == 1
    assert not await mill.lives(others[0])


async def test_one_id_twice_in_one_call_is_refused(mill: Mill) -> None:
    (id,) = new_ids("default", 1)
    with pytest.raises(IdTaken, match=id):
        await mill.queue.submit([new_job(id, ev.JobSubmitted("noop"))] * 2)
    assert await mill.log() == []


async def test_a_due_that_is_no_time_is_refused_before_anything_is_written(mill: Mill) -> None:
    (good,) = await mill.submit()
    ids = list(new_ids("default", 2))
    jobs = [new_job(ids[0], ev.JobSubmitted("noop")), *[new_job(ids[1], ev.JobSubmitted("n"))]]
    jobs[1] = NewJob(ids[1], ev.JobSubmitted("noop", run_at="soon"), b"{}")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ResponseError, match=f"INVALID due of job {ids[1]}: soon"):
        await mill.queue.submit(jobs)
    assert [one.job for one in await mill.log()] == [good]


async def test_none_is_none(mill: Mill) -> None:
    receipt = await mill.submit_many(0)
    assert (receipt.first_seq, receipt.again) == (1, False)
    assert await mill.log() == []


async def test_delayed_jobs_wait(mill: Mill) -> None:
    (soon,) = await mill.submit(delay_ms=60_000)
    (later,) = await mill.submit(run_at=await mill.now() + 90_000)
    claim = await mill.queue.claim("w1", 10)
    assert claim.leases == []
    assert 50_000 < claim.next_due - claim.now <= 60_000
    for job in (soon, later):
        assert (await mill.hot(job)).state is JobState.SCHEDULED
        assert await mill.story(job) == ["submitted"]


@pytest.mark.parametrize("run_at", [0, 1, 1_000_000_000_000])
async def test_a_time_already_past_is_due_at_once(mill: Mill, run_at: int) -> None:
    (job,) = await mill.submit(run_at=run_at)
    assert await mill.story(job) == ["submitted", "queued"]
    assert [lease.id for lease in await mill.claim()] == [job]


async def test_no_delay_is_due_at_once(mill: Mill) -> None:
    await mill.submit(3, delay_ms=0)
    log = await mill.log()
    assert [one.type for one in log] == ["job.submitted"] * 3 + ["job.queued"] * 3
    assert {one.body for one in log[3:]} == {b'{"cause":"due"}'}
    assert len(await mill.claim()) == 3


async def test_far_times_are_kept_exactly(mill: Mill) -> None:
    far = 9_007_199_254_740_000  # the year 287396
    await mill.submit(run_at=far)
    assert (await mill.queue.claim("w1", 1)).next_due == far


async def test_the_bell_rings_once_for_many(mill: Mill) -> None:
    for _ in range(5):
        await mill.submit(3)
    assert await mill.bell() == 1


async def test_the_bell_rings_for_a_due_time_only_if_it_is_the_next(mill: Mill) -> None:
    await mill.submit(delay_ms=60_000)
    assert await mill.bell() == 1
    await mill.mute()
    await mill.submit(delay_ms=90_000)
    assert await mill.bell() == 0
    await mill.submit(delay_ms=30_000)
    assert await mill.bell() == 1


@pytest.mark.parametrize("count", [1000, 10_000])
async def test_large_batches(mill: Mill, count: int) -> None:
    receipt = await mill.submit_many(count, delay_ms=0)
    assert receipt.first_seq == 1
    claimed = 0
    while leases := await mill.claim(1000):
        claimed += len(leases)
    assert claimed == count


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.submit()
    await mill.lose_log()
    with pytest.raises(LogLost, match="expected it to end at seq 1 of epoch 1"):
        await mill.submit()
    assert await mill.log() == []


async def test_a_log_whose_count_is_lost_is_not_numbered_again(mill: Mill) -> None:
    await mill.submit()
    await mill.redis.delete(mill.keys.meta("default"))
    with pytest.raises(LogLost, match="expected it to tell where"):
        await mill.submit()
    mill.broken |= {"head-differs"}


async def test_no_jobs_are_taken_when_memory_is_full_but_running_ones_finish(mill: Mill) -> None:
    lease = await mill.started()
    used = (await mill.redis.info("memory"))["used_memory"]
    await mill.redis.config_set("maxmemory", used // 2)
    try:
        with pytest.raises(MemoryFull):
            await mill.submit()
        with pytest.raises(MemoryFull):
            await mill.redrive(lease.id, 2)
        assert await mill.finish(lease, "succeeded")
        assert await mill.claim() == []
    finally:
        await mill.redis.config_set("maxmemory", 0)
    await mill.submit()


async def test_a_server_that_forgot_its_scripts_is_told_again(mill: Mill) -> None:
    await mill.submit()
    await mill.redis.script_flush()
    await mill.submit()
    assert len(await mill.log()) == 2


async def test_while_the_clock_is_behind_the_log_s_last_id_all_goes_on(mill: Mill) -> None:
    await mill.submit()
    ahead = await mill.now() + 3_600_000
    for key in (mill.keys.log("default"), mill.keys.ready("default", 5)):
        await mill.redis.execute_command("XSETID", key, f"{ahead}-4294967290")
    await mill.submit(20)
    leases = await mill.claim()
    assert len(leases) == 21
    accepted = [await mill.finish(lease, "released") for lease in leases[:5]]
    assert accepted == [True] * 5
    assert (await mill.expire())[0] == 16
    again = await mill.claim()
    assert len(again) == 21
    for lease in again:
        assert await mill.finish(lease, "succeeded")

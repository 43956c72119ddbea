"""Limits: who may start, who waits, and who is let in next."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from redis.exceptions import ResponseError

from millstream.core import events as ev
from millstream.core.jobs import JobState
from millstream.core.limits import limits_of

from .limits import come, end, ids, limit, run_all
from .mill import ADA, Mill


async def test_a_job_over_the_limit_of_its_type_waits_and_is_let_in_by_the_end_of_another(
    mill: Mill,
) -> None:
    await limit(mill, types={"mail": {"concurrency": 2}})
    jobs = await mill.submit(4, type="mail")
    other = await mill.submit(1, type="report")
    first = await mill.claim()
    assert ids(first) == [*jobs[:2], *other]
    assert (await mill.hot(jobs[2])).state is JobState.BLOCKED
    assert await mill.story(jobs[2]) == ["submitted", "blocked"]
    assert await mill.claim() == []
    await end(mill, first[:1])
    assert ids(await mill.claim()) == [jobs[2]]
    assert await mill.story(jobs[2]) == ["submitted", "blocked", "queued", "started"]


async def test_the_event_names_the_limit(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1, "concurrency_per_key": 1}})
    await mill.submit(2, type="mail", concurrency_key="tenant-7")
    await mill.submit(2, type="mail")
    await mill.claim()
    told = [r.body for r in await mill.log() if r.type == "job.blocked"]
    assert told == [
        b'{"on":"concurrency of key tenant-7 of type mail"}',
        b'{"on":"concurrency of type mail"}',
        b'{"on":"concurrency of type mail"}',
    ]


async def test_a_limit_of_one_per_key_runs_each_key_in_its_order(mill: Mill) -> None:
    await limit(mill, concurrency_per_key=1)
    jobs = {key: await mill.submit(5, concurrency_key=key) for key in ("a", "b")}
    ran: list[str] = []
    while leases := await mill.claim():
        assert len(leases) == 2, "one of each key, and no key waits for the other"
        ran += ids(leases)
        await end(mill, leases)
    for key, its in jobs.items():
        assert [job for job in ran if job in its] == its, key


async def test_no_other_key_waits_behind_a_full_one(mill: Mill) -> None:
    await limit(mill, concurrency_per_key=1, types={"mail": {"concurrency": 3}})
    await mill.submit(50, type="mail", concurrency_key="busy")
    (late,) = await mill.submit(type="mail", concurrency_key="quiet")
    assert late in ids(await mill.claim())


async def test_priorities_hold_among_those_that_wait(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    await mill.submit(2, type="mail", priority=7)
    (first,) = await mill.claim()
    (urgent,) = await mill.submit(type="mail", priority=0)
    assert await mill.claim() == []
    await end(mill, [first])
    assert ids(await mill.claim()) == [urgent]


@pytest.mark.parametrize("verdict", ["retry", "snoozed", "failed", "cancelled"])
async def test_every_verdict_lets_the_next_in(mill: Mill, verdict: Any) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(2, type="mail")
    (lease,) = await mill.claim()
    assert await mill.claim() == []
    assert await mill.finish(lease, verdict, delay_ms=60_000)
    assert ids(await mill.claim()) == [jobs[1]]


async def test_a_job_handed_back_or_crashed_keeps_its_turn(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(2, type="mail")
    (lease,) = await mill.claim()
    await mill.claim()
    assert await mill.finish(lease, "released")
    assert ids(await mill.claim()) == [jobs[0]]
    await mill.expire()
    (again,) = await mill.claim()
    assert again.id == jobs[0]
    await end(mill, [again])
    assert ids(await mill.claim()) == [jobs[1]]


async def test_a_job_that_crashes_to_death_lets_the_next_in(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(2, type="mail")
    await mill.claim()
    await mill.claim()
    await mill.expire(max_crashes=1)
    assert ids(await mill.claim()) == [jobs[1]]


async def test_a_lost_group_leaks_no_room(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(2, type="mail")
    await mill.claim()
    await mill.claim()
    await mill.lose_group()
    await mill.queue.mend()
    assert await run_all(mill) == jobs


async def test_waiting_jobs_can_be_cancelled_wherever_they_wait(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1, "concurrency_per_key": 1}})
    jobs = await mill.submit(3, type="mail", concurrency_key="k")
    (other,) = await mill.submit(type="mail", concurrency_key="l")
    (lease,) = await mill.claim()
    await mill.claim()
    # `other` holds its key and waits for the type.
    assert await mill.cancel(jobs[1], other) == ["cancelled", "cancelled"]
    await end(mill, [lease])
    assert ids(await mill.claim()) == [jobs[2]]


async def test_a_waiting_job_can_be_given_another_time(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1, "concurrency_per_key": 1}})
    (first,) = await mill.submit(type="mail", concurrency_key="k")
    (moved, last) = await mill.submit(2, type="mail", concurrency_key="l")
    (lease,) = await mill.claim()
    assert lease.id == first
    assert await mill.claim() == []
    # `moved` holds its key and waits for the type; `last` waits for the key.
    assert await mill.queue.reschedule([moved, last], "+0", ADA) == ["ready", "ready"]
    assert await mill.queue.reschedule([moved], "+60000", ADA) == ["rescheduled"]
    assert (await mill.hot(moved)).state is JobState.SCHEDULED
    await end(mill, [lease])
    assert ids(await mill.claim()) == [last]


async def test_a_purge_takes_all_that_wait(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    (running,) = await mill.submit(type="mail")
    (lease,) = await mill.claim()
    assert lease.id == running
    await mill.submit(25, type="mail")
    await mill.claim()
    cursor, cancelled = "", 0
    while True:
        cursor, count = await mill.queue.purge(ADA, cursor, limit=10)
        cancelled += count
        if not cursor:
            break
    assert cancelled == 25
    assert (await mill.queue.inspect())[2:6] == (0, 0, 0, 1)


async def test_one_that_was_let_in_and_is_cancelled_passes_its_turn_on(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(3, type="mail")
    leases = await mill.claim()
    await end(mill, leases)
    assert (await mill.hot(jobs[1])).state is JobState.QUEUED
    assert await mill.cancel(jobs[1]) == ["cancelled"]
    assert ids(await mill.claim()) == [jobs[2]]


async def test_a_job_that_expires_while_it_waits_fails_and_passes_its_turn_on(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    (first,) = await mill.submit(type="mail")
    (lease,) = await mill.claim()
    assert lease.id == first
    (short,) = await mill.submit(type="mail", expires_at=(soon := await mill.now() + 60_000))
    (last,) = await mill.submit(type="mail")
    assert await mill.claim() == []
    await come(mill, soon)
    await end(mill, [lease])
    assert ids(await mill.claim()) == [last]
    assert await mill.story(short) == ["submitted", "blocked", "failed"]


async def test_the_whole_queue_runs_as_many_as_its_limit(mill: Mill) -> None:
    await limit(mill, concurrency=3)
    await mill.submit(2, priority=0)
    await mill.submit(5)
    first = await mill.claim(10, "w1")
    assert len(first) == 3
    assert await mill.claim(10, "w2") == []
    await mill.mute()
    await end(mill, first[:2])
    assert await mill.bell() == 1, "somebody is told that there is room"
    assert len(await mill.claim(10, "w2")) == 2
    assert not any(r.type == "job.blocked" for r in await mill.log()), "they wait in their order"


async def test_limits_can_be_raised_lowered_and_taken_away(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    jobs = await mill.submit(6, type="mail")
    first = await mill.claim()
    await mill.claim()
    await limit(mill, types={"mail": {"concurrency": 3}})
    more = await mill.claim()
    assert ids(first + more) == jobs[:3]
    await limit(mill, types={"mail": {"concurrency": 1}})
    await end(mill, first + more[:1])
    assert await mill.claim() == [], "one still runs"
    await limit(mill, types={"mail": {"concurrency": None}})
    assert ids(await mill.claim()) == jobs[3:]
    assert limits_of(await mill.queue.limits()) == {}


async def test_jobs_that_run_count_against_a_new_limit(mill: Mill) -> None:
    jobs = await mill.submit(3, type="mail")
    running = await mill.claim(2)
    await limit(mill, types={"mail": {"concurrency": 2}})
    assert await mill.claim() == []
    await end(mill, running[:1])
    assert ids(await mill.claim()) == [jobs[2]]


async def test_what_a_change_leaves_over_the_sweep_lets_in(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    await mill.submit(150, type="mail")
    await mill.claim(1000)
    await mill.claim(1000)
    await limit(mill, types={"mail": {"concurrency": None}})
    await mill.queue.promote()
    assert len(await mill.claim(1000)) == 149


async def test_a_claim_parks_a_bounded_number(mill: Mill) -> None:
    await limit(mill, types={"mail": {"concurrency": 1}})
    await mill.submit(300, type="mail")
    await mill.mute()
    assert len(await mill.claim(2)) == 1
    blocked = sum(r.type == "job.blocked" for r in await mill.log())
    assert blocked < 120
    assert await mill.bell() == 1, "who stops early rings for the next"


async def test_a_bound_that_is_none_is_refused(mill: Mill) -> None:
    for field, bound in (("c", "0"), ("c", "many"), ("r", "5"), ("aging", "-1")):
        with pytest.raises(ResponseError, match=f"INVALID bound of {field}"):
            await mill.queue.configure(ev.QueueConfigured(), {field: bound})
    assert await mill.log() == []


async def test_what_was_configured_is_told(mill: Mill) -> None:
    said = {
        "concurrency": 9,
        "aging": 1.5,
        "rate": {"limit": 7, "per": 60.0},
        "types": {"mail": {"concurrency_per_key": 1, "rate_per_key": {"limit": 3, "burst": 2}}},
    }
    await limit(mill, **said)
    assert limits_of(await mill.queue.limits()) == said
    (record,) = await mill.log()
    assert record.type == "queue.configured"
    assert msgspec.json.decode(record.body)["settings"] == {**said, "rate": said["rate"]}

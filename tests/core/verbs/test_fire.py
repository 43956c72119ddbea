"""fire: one winner, each overlap policy, and nothing by halves."""

from __future__ import annotations

import asyncio

import pytest

from millstream.core.errors import IdTaken, MemoryFull
from millstream.core.firing import Missed
from millstream.core.jobs import JobState
from millstream.core.schedule_store import Firing

from .mill import Mill
from .plans import BOB, HOUR, Plans, hourly


@pytest.fixture
def plans(mill: Mill) -> Plans:
    return Plans(mill)


async def test_an_occurrence_becomes_a_job(plans: Plans, mill: Mill) -> None:
    state = await plans.make(priority=2, tags=["nightly"])
    assert state.next is not None
    fired = await plans.fire(state)
    (job,) = fired.jobs
    hot = await mill.hot(job)
    assert (hot.spec.schedule, hot.spec.occurrence) == ("s", state.next)
    assert (hot.spec.priority, hot.spec.tags) == (2, ["nightly"])
    assert await mill.bell() == 1
    told = (await plans.told())[-1]
    assert told == (
        "fired",
        {"schedule": "s", "occurrence": state.next, "job_id": job, "cause": "due"},
    )
    after = await plans.state()
    assert (after.next, after.due) == (state.next + HOUR, state.next + HOUR)
    assert (after.last_job, after.last_occurrence) == (job, state.next)
    assert after.version == state.version
    (lease,) = await mill.claim()
    assert lease.id == job
    assert await mill.finish(lease, "succeeded")


async def test_of_many_who_try_one_wins(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    tried = await asyncio.gather(*(plans.fire(state) for _ in range(20)))
    assert sorted(one.outcome for one in tried) == ["fired"] + ["lost"] * 19
    assert len(await mill.claim(10)) == 1


async def test_a_schedule_changed_meanwhile_is_not_fired_as_it_was(plans: Plans) -> None:
    state = await plans.make()
    await plans.put(hourly(priority=1))
    assert await plans.fire(state) == ("changed", [])
    assert (await plans.fire(await plans.state())).outcome == "fired"


async def test_the_last_occurrence_leaves_it_nowhere(plans: Plans) -> None:
    state = await plans.make()
    await plans.fire(state, next=None, due=None)
    assert (await plans.state()).next is None
    assert (await plans.own.due(10))[1:] == (0, [])


async def test_missed_occurrences_are_one_event(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    assert state.next is not None
    missed = Missed(state.next - 5 * HOUR, state.next - HOUR, 5)
    job = plans.job(state, cause="catch_up")
    await plans.fire(state, job, missed=missed)
    skipped, fired = (await plans.told())[-2:]
    assert skipped == ("skipped", {"schedule": "s", "occurrence": missed.first, "reason": "missed",
                                   "count": 5, "last": missed.last})  # fmt: skip
    assert fired[1]["cause"] == "catch_up"
    assert await mill.story(job.id) == ["submitted"]


async def test_allow_lets_them_run_together(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    await plans.fire(state)
    await plans.arrive()
    await plans.fire(await plans.state())
    assert len(await mill.claim(10)) == 2
    assert (await plans.state()).running == []


async def test_skip_leaves_out_what_comes_too_soon(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="skip")
    await plans.fire(state)
    await plans.arrive()
    assert await plans.fire(await plans.state()) == ("fired", [])
    (lease,) = await mill.claim(10)
    await plans.arrive()
    assert await plans.fire(await plans.state()) == ("fired", [])
    await mill.finish(lease, "succeeded")
    await plans.arrive()
    assert len((await plans.fire(await plans.state())).jobs) == 1
    assert await plans.reasons() == ["due", "overlap", "overlap", "due"]


async def test_a_policy_that_comes_later_knows_the_last_job(plans: Plans, mill: Mill) -> None:
    await plans.fire(await plans.make())
    await plans.put(hourly(overlap="skip"))
    await plans.arrive()
    assert (await plans.fire(await plans.state())).jobs == []
    assert await plans.reasons() == ["due", "overlap"]


async def test_skip_counts_a_job_that_waits_for_its_retry(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="skip")
    await plans.fire(state)
    (lease,) = await mill.claim()
    await mill.finish(lease, "retry", delay_ms=60_000)
    await plans.arrive()
    assert (await plans.fire(await plans.state())).jobs == []


async def test_of_several_that_are_late_skip_fires_the_first(plans: Plans) -> None:
    state = await plans.make(overlap="skip")
    assert state.next is not None
    jobs = [plans.job(state, state.next + n) for n in range(3)]
    assert len((await plans.fire(state, *jobs)).jobs) == 1
    assert await plans.reasons() == ["due", "overlap", "overlap"]


async def test_buffer_one_keeps_one_until_the_running_one_ends(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="buffer_one")
    await plans.fire(state)
    (lease,) = await mill.claim()
    await plans.arrive()
    waiting = await plans.state()
    before = await mill.now()
    assert await plans.fire(waiting) == ("fired", [])
    after = await mill.now()
    held = await plans.state()
    assert held.buffered == waiting.next
    # It is looked at again within a second, and each second from then on.
    (score,) = [one for _, one in await mill.redis.zrange(mill.keys.schedule_due("default"), 0, -1,
                                                         withscores=True)]  # fmt: skip
    assert before < score <= after + 1000
    again = plans.job(held, held.buffered)
    assert await plans.fire(held, again, next=held.next, due=held.due) == ("fired", [])
    assert (await plans.state()).buffered == held.buffered
    # Another one finds the place taken.
    await plans.arrive()
    late = await plans.state()
    assert await plans.fire(late, plans.job(late, late.buffered), plans.job(late)) == ("fired", [])
    assert (await plans.reasons()) == ["due", "buffered"]
    await mill.finish(lease, "succeeded")
    freed = await plans.state()
    fired = await plans.fire(
        freed, plans.job(freed, freed.buffered), next=freed.next, due=freed.due
    )
    assert len(fired.jobs) == 1
    assert (await mill.hot(fired.jobs[0])).spec.occurrence == waiting.next
    after = await plans.state()
    assert (after.buffered, after.next) == (None, freed.next)
    assert await plans.fire(freed, plans.job(freed, freed.buffered)) == ("lost", [])


async def test_an_ended_schedule_still_lets_its_buffered_one_run(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="buffer_one")
    await plans.fire(state)
    (lease,) = await mill.claim()
    await plans.arrive()
    await plans.fire(await plans.state(), next=None, due=None)
    await mill.finish(lease, "succeeded")
    held = await plans.state()
    assert held.next is None
    fired = await plans.fire(held, plans.job(held, held.buffered), next=None, due=None)
    assert len(fired.jobs) == 1
    assert (await plans.own.due(10))[1:] == (0, [])


async def test_cancel_running_makes_way(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="cancel_running")
    (first,) = (await plans.fire(state)).jobs
    await plans.arrive()
    (second,) = (await plans.fire(await plans.state())).jobs
    assert await mill.story(first) == ["submitted", "cancelled"]
    assert (await mill.log(first))[-1].body == b'{"actor":"schedule s","reason":"overlap"}'
    (lease,) = await mill.claim(10)
    assert lease.id == second
    await plans.arrive()
    (third,) = (await plans.fire(await plans.state())).jobs
    assert await mill.story(second) == ["submitted", "started", "cancel_requested"]
    assert (await mill.hot(second)).state is JobState.RUNNING
    assert (await plans.state()).running == [second, third]
    await plans.arrive()
    await plans.fire(await plans.state())
    assert await mill.story(second) == ["submitted", "started", "cancel_requested"]
    assert await mill.story(third) == ["submitted", "cancelled"]


async def test_fire_now_moves_nothing_and_asks_nobody(plans: Plans, mill: Mill) -> None:
    state = await plans.make(overlap="skip")
    await plans.fire(state)
    state = await plans.state()
    manual = plans.job(state, await mill.now(), "manual")
    assert await plans.fire(state, manual, moves=False) == ("fired", [manual.id])
    after = await plans.state()
    assert (after.next, after.due) == (state.next, state.due)
    assert manual.id in after.running
    assert after.last_job == manual.id
    await plans.own.pause("s", BOB)
    assert (await plans.fire(await plans.state(), plans.job(after, 5, "manual"), moves=False)).jobs


async def test_a_command_is_done_once(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    made = [plans.job(state, n, "backfill") for n in (1, 2, 3)]
    first = await plans.fire(state, *made, moves=False, command="c1")
    assert first == ("fired", [job.id for job in made])
    others = [plans.job(state, n, "backfill") for n in (1, 2, 3)]
    assert await plans.fire(state, *others, moves=False, command="c1") == first
    assert len(await mill.claim(10)) == 3
    assert (await plans.state()).last_job is None
    assert await plans.reasons() == ["backfill"] * 3


async def test_a_command_that_was_refused_may_be_tried_again(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    await mill.redis.hset(mill.keys.meta("default"), "mode", "draining")
    assert (await plans.fire(state, moves=False, command="c1")).outcome == "draining"
    await mill.redis.hset(mill.keys.meta("default"), "mode", "")
    assert len((await plans.fire(state, moves=False, command="c1")).jobs) == 1


async def test_many_schedules_in_one_call(plans: Plans, mill: Mill) -> None:
    states = [await plans.make(name=f"s{n}") for n in range(5)]
    await plans.own.pause("s3", BOB)
    firings = [
        Firing(one, "allow", [plans.job(one)], next=(one.next or 0) + HOUR, due=1) for one in states
    ]
    replies = await plans.own.fire(firings)
    assert [one.outcome for one in replies] == ["fired"] * 3 + ["changed", "fired"]
    assert len(await mill.claim(10)) == 4
    for one in states:
        due = (await plans.state(one.name)).due
        assert due == (1 if one.name != "s3" else one.due)


async def test_an_id_that_is_taken_does_nothing(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    (job,) = await mill.submit()
    taken = plans.job(state)._replace(id=job)
    with pytest.raises(IdTaken):
        await plans.fire(state, plans.job(state), taken)
    assert (await plans.state()) == state
    assert await plans.reasons() == []


async def test_without_memory_it_is_fired_later(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    await mill.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(MemoryFull):
            await plans.fire(state)
        assert await plans.own.pause("s", BOB) == "paused"
    finally:
        await mill.redis.config_set("maxmemory", 0)
    now = await plans.all.now()
    assert await plans.own.resume(await plans.state(), BOB, now) == "resumed"

"""schedule_put, schedule_pause, schedule_delete and schedules_due."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from millstream.core.errors import LogLost

from .mill import ADA, Mill
from .plans import BOB, HOUR, Plans, hourly


@pytest.fixture
def plans(mill: Mill) -> Plans:
    return Plans(mill)


async def test_a_schedule_is_made_and_kept_as_it_was_given(plans: Plans, mill: Mill) -> None:
    given = hourly(payload=msgspec.Raw(b'{"n":12345678901234567890.10}'), tags=["x"])
    before = await mill.now()
    assert await plans.put(given) == "created"
    hours = {at // HOUR * HOUR + HOUR for at in (before, await mill.now())}
    state = await plans.state()
    assert state.schedule() == given
    assert (state.version, state.paused, state.buffered, state.last_job) == (1, None, None, None)
    assert state.next == state.due
    assert state.next in hours
    ((kind, body),) = await plans.told()
    assert kind == "created"
    assert (body["actor"], body["reason"], body["schedule"]) == ("ada", "test", "s")
    (record,) = await mill.log("")
    assert bytes(given.payload) in record.body
    assert await plans.all.names() == {"s": "default"}
    assert await plans.all.partitions() == {"default"}


async def test_a_change_that_keeps_its_times_keeps_its_place(plans: Plans) -> None:
    await plans.put(hourly())
    await plans.arrive(ago=500)
    before = await plans.state()
    assert await plans.put(hourly(priority=1)) == "updated"
    state = await plans.state()
    assert (state.version, state.next, state.schedule().priority) == (2, before.next, 1)
    assert await plans.put(hourly(every=60)) == "updated"
    assert (await plans.state()).next != before.next
    assert [kind for kind, _ in await plans.told()] == ["created", "updated", "updated"]


async def test_who_read_an_older_version_is_refused(plans: Plans) -> None:
    await plans.put(hourly())
    first = await plans.state()
    assert await plans.put(hourly(priority=1)) == "updated"
    assert (await plans.all.put(hourly(priority=2), BOB, old=first))[0] == "conflict"
    assert (await plans.all.put(hourly(priority=2), BOB))[0] == "conflict"
    await plans.own.delete("s", BOB)
    assert (await plans.all.put(hourly(priority=2), BOB, old=first))[0] == "missing"


async def test_a_name_is_taken_in_all_queues_but_not_for_ever(plans: Plans, mill: Mill) -> None:
    await plans.put(hourly())
    other = hourly(queue="other")
    assert (await plans.all.put(other, ADA))[0] == "elsewhere"
    assert await plans.all.of("other").get("s") is None
    # A crash between the two steps of a delete leaves the name behind.
    await plans.own.delete("s", ADA)
    assert await plans.all.names() == {"s": "default"}
    assert (await plans.all.put(other, ADA))[0] == "created"
    assert await plans.all.names() == {"s": "other"}
    await plans.all.forget("s", "default")
    assert await plans.all.names() == {"s": "other"}
    await plans.all.forget("s", "other")
    assert await plans.all.names() == {}


async def test_pause_and_resume_with_a_reason(plans: Plans) -> None:
    state = await plans.make()
    assert await plans.own.pause("s", ADA, 2) == "conflict"
    assert await plans.own.pause("s", BOB, 1) == "paused"
    assert await plans.own.pause("s", ADA) == "same"
    assert (await plans.own.due(10)).states == []
    paused = await plans.state()
    assert paused.paused == BOB
    assert paused.paused_at is not None
    assert (await plans.fire(state)).outcome == "changed"
    assert (await plans.fire(paused)).outcome == "lost"
    now = await plans.all.now()
    assert await plans.own.resume(state, ADA, now) == "conflict"
    assert await plans.own.resume(paused, ADA, now) == "resumed"
    resumed = await plans.state()
    assert (resumed.paused, resumed.version) == (None, 3)
    assert resumed.next == now // HOUR * HOUR + HOUR
    assert await plans.own.resume(resumed, ADA, now) == "same"
    assert [kind for kind, _ in await plans.told()] == ["created", "paused", "resumed"]
    assert (await plans.told())[1][1] == {"actor": "bob", "reason": "why not", "schedule": "s"}


async def test_what_is_changed_while_paused_stays_paused(plans: Plans) -> None:
    await plans.make()
    await plans.own.pause("s", BOB)
    assert await plans.put(hourly(every=7)) == "updated"
    assert (await plans.state()).paused == BOB
    assert (await plans.own.due(10)).next_due == 0


async def test_nothing_can_be_done_to_what_is_not_there(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    assert await plans.own.delete("s", ADA)
    assert not await plans.own.delete("s", ADA)
    assert await plans.own.pause("s", ADA) == "missing"
    assert await plans.own.resume(state, ADA, 0) == "missing"
    assert (await plans.fire(state)).outcome == "missing"
    assert await plans.own.get("s") is None
    assert not await mill.redis.exists(mill.keys.schedule("default", "s"))
    assert [kind for kind, _ in await plans.told()] == ["created", "deleted"]


async def test_a_declaration_does_not_undo_what_was_done_by_hand(plans: Plans) -> None:
    assert await plans.put(hourly(), digest="d1") == "created"
    assert await plans.put(hourly(), digest="d1") == "same"
    await plans.put(hourly(every=60))
    await plans.own.pause("s", BOB)
    assert await plans.put(hourly(), digest="d1") == "same"
    assert (await plans.state()).schedule().every == 60
    # A declaration that is another one counts, but what was paused stays so.
    assert await plans.put(hourly(every=30), digest="d2") == "updated"
    state = await plans.state()
    assert (state.schedule().every, state.paused, state.digest) == (30, BOB, "d2")


async def test_a_declared_schedule_that_was_deleted_stays_so(plans: Plans) -> None:
    await plans.put(hourly(), digest="d1")
    await plans.own.delete("s", BOB)
    assert await plans.put(hourly(), digest="d1") == "same"
    assert await plans.own.get("s") is None
    assert await plans.put(hourly(), digest="d2") == "created"


async def test_a_declaration_leaves_a_schedule_made_by_hand_alone(plans: Plans) -> None:
    await plans.put(hourly())
    assert await plans.put(hourly(every=60), digest="d1") == "foreign"
    assert (await plans.state()).schedule().every == 3600


async def test_due_tells_what_is_due_and_when_the_next_is(plans: Plans, mill: Mill) -> None:
    assert (await plans.own.due(10))[1:] == (0, [])
    await plans.put(hourly("later"))
    for name in ("a", "b", "c"):
        await plans.make(name=name)
    before = await mill.now()
    due = await plans.own.due(10)
    assert before <= due.now <= await mill.now()
    assert sorted(state.name for state in due.states) == ["a", "b", "c"]
    assert due.next_due == (await plans.state("later")).due
    assert len((await plans.own.due(2)).states) == 2
    assert len((await plans.own.due(10, offset=2)).states) == 1


async def test_a_draining_queue_has_nothing_due(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    await mill.redis.hset(mill.keys.meta("default"), "mode", "draining")
    assert (await plans.own.due(10))[1:] == (0, [])
    assert await plans.fire(state) == ("draining", [])
    assert await plans.fire(state, moves=False) == ("draining", [])
    await mill.redis.hset(mill.keys.meta("default"), "mode", "")
    assert (await plans.fire(state)).outcome == "fired"


async def test_a_schedule_that_ends_is_not_looked_at(plans: Plans, mill: Mill) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    await plans.put(hourly(end_at=past))
    state = await plans.state()
    assert (state.next, state.due) == (None, None)
    assert (await plans.own.due(10))[1:] == (0, [])


async def test_many_are_read_at_once(plans: Plans) -> None:
    await asyncio.gather(*(plans.put(hourly(f"s{n}")) for n in range(50)))
    assert len(await plans.all.names()) == 50
    states = await plans.own.get_all([f"s{n}" for n in range(50)] + ["none"])
    assert [state and state.name for state in states] == [*(f"s{n}" for n in range(50)), None]


async def test_without_the_log_nothing_is_done(plans: Plans, mill: Mill) -> None:
    state = await plans.make()
    await mill.lose_log()
    mill.broken |= {"schedule-orphan", "schedule-due"}
    for call in (
        plans.put(hourly(priority=1)), plans.own.delete("s", ADA), plans.own.pause("s", ADA),
        plans.own.due(10), plans.fire(state),
    ):  # fmt: skip
        with pytest.raises(LogLost):
            await call
    assert (await plans.state()) == state

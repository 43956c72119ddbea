"""Each way schedules can differ from their events is tried once, and must be found by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from millstream.core import events as ev
from tests.core.verbs.mill import ADA, Mill
from tests.core.verbs.plans import BOB, Plans

from .broken import found


async def _append(plans: Plans, event: ev.Event) -> None:
    """An event that no verb wrote."""
    mill = plans.mill
    meta, log = mill.keys.meta("default"), mill.keys.log("default")
    seq = await mill.redis.hincrby(meta, "seq", 1)
    fields: dict[Any, Any] = {
        "seq": seq, "epoch": 1, "type": event.name, "job": "", "version": 0,
        "body": msgspec.json.encode(event),
    }  # fmt: skip
    await mill.redis.xadd(log, fields)


async def _lose_submission(plans: Plans) -> None:
    await _append(plans, ev.ScheduleFired("s", 7, "0197a5c0-0000-7000-8000-000000000001"))


async def _fire_again(plans: Plans) -> None:
    state = await plans.state()
    assert state.last_occurrence is not None
    await plans.fire(state, plans.job(state, state.last_occurrence))


async def _fire_silently(plans: Plans) -> None:
    await plans.mill.submit(schedule="s", occurrence=7)


async def _set(plans: Plans, **fields: Any) -> None:
    await plans.mill.redis.hset(plans.mill.keys.schedule("default", "s"), mapping=fields)


async def _fire_paused(plans: Plans) -> None:
    await plans.own.pause("s", BOB)
    await _append(plans, ev.ScheduleSkipped("s", 7, "overlap"))


async def _lose(plans: Plans) -> None:
    mill = plans.mill
    await mill.redis.delete(mill.keys.schedule("default", "s"), mill.keys.schedule_due("default"))


async def _remain(plans: Plans) -> None:
    await plans.own.delete("s", ADA)
    await _set(plans, digest="d", next="5")


async def _due_of_nobody(plans: Plans) -> None:
    await plans.mill.redis.zadd(plans.mill.keys.schedule_due("default"), {"ghost": 5})


async def _never_due(plans: Plans) -> None:
    await plans.mill.redis.delete(plans.mill.keys.schedule_due("default"))


BROKEN: dict[str, tuple[Callable[[Plans], Awaitable[None]], set[str]]] = {
    "made twice": (
        lambda p: _append(p, ev.ScheduleCreated(schedule="s")), {"schedule-order"}),
    "fired before it was made": (
        lambda p: _append(p, ev.ScheduleSkipped("t", 7, "overlap")), {"schedule-order"}),
    "a firing without its job": (_lose_submission, {"fired-orphan"}),
    "a job without its firing": (_fire_silently, {"fired-missing"}),
    "fired twice": (_fire_again, {"occurrence-twice"}),
    "fired while paused": (_fire_paused, {"fired-paused"}),
    "lost": (_lose, {"schedule-missing"}),
    "one of nobody": (
        lambda p: _append(p, ev.ScheduleDeleted(schedule="s")), {"schedule-orphan"}),
    "remains": (_remain, {"schedule-remains"}),
    "paused by nobody": (lambda p: _set(p, paused="{}"), {"schedule-differs", "schedule-due"}),
    "due another time": (lambda p: _set(p, due="5"), {"schedule-due"}),
    "never due": (_never_due, {"schedule-due"}),
    "due, but not there": (_due_of_nobody, {"schedule-due"}),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
async def test_a_broken_schedule_is_found(mill: Mill, what: str) -> None:
    plans = Plans(mill)
    await plans.fire(await plans.make())
    assert await found(mill) == set()
    damage, names = BROKEN[what]
    await damage(plans)
    assert await found(mill) == names

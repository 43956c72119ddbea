"""lose: a worker that is gone without a word is said lost once."""

from __future__ import annotations

import pytest

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.upcast import decode

from .mill import Mill


async def told(mill: Mill) -> list[ev.Event]:
    return [decode(one) for one in await mill.log() if not one.job]


async def test_it_is_said_once_however_many_say_it(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"))
    await mill.queue.announce(ev.WorkerStarted("w2"))
    assert await mill.queue.serving() == {"w1", "w2"}
    assert await mill.queue.lose(["w1", "w1"]) == [True, False]
    assert await mill.queue.lose(["w1"]) == [False]
    assert await mill.queue.serving() == {"w2"}
    assert (await told(mill))[2:] == [ev.WorkerLost("w1")]


async def test_who_left_or_never_came_is_not_lost(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"))
    await mill.queue.announce(ev.WorkerStopped("w1"))
    assert await mill.queue.lose(["w1", "w2"]) == [False, False]
    assert await mill.queue.lose([]) == []
    assert len(await told(mill)) == 2


async def test_who_comes_back_can_be_lost_again(mill: Mill) -> None:
    for _ in range(2):
        await mill.queue.announce(ev.WorkerStarted("w1"))
        assert await mill.queue.lose(["w1"]) == [True]
    kinds = [type(event) for event in await told(mill)]
    assert kinds == [ev.WorkerStarted, ev.WorkerLost] * 2


async def test_the_groups_forget_it_but_not_its_leases(mill: Mill) -> None:
    held = await mill.started()
    await mill.queue.announce(ev.WorkerStarted("w1"))
    await mill.queue.lose(["w1"])
    assert await mill.consumers() == {"w1"}
    await mill.expire()
    assert (await mill.story(held.id))[-1] == "lease_expired"
    (again,) = await mill.claim(worker="w2")
    await mill.finish(again, "succeeded")
    await mill.queue.announce(ev.WorkerStarted("w2"))
    await mill.queue.lose(["w2"])
    assert await mill.consumers() == set()


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"))
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.queue.lose(["w1"])

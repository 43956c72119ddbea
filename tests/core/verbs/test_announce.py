"""announce: workers come and go, and what they can do stays known."""

from __future__ import annotations

import pytest

from millstream.core import events as ev
from millstream.core.errors import LogLost
from millstream.core.queue import Directory
from millstream.core.upcast import decode

from .mill import Mill


async def test_a_worker_s_coming_and_going_is_in_the_log(mill: Mill) -> None:
    started, stopped = ev.WorkerStarted("w1", ["a", "b"]), ev.WorkerStopped("w1")
    await mill.queue.announce(started, {"a": {"max_attempts": 3}, "b": {}})
    await mill.submit()
    await mill.queue.announce(stopped)
    log = await mill.log()
    assert [(one.seq, one.job, one.version) for one in log if not one.job] == [
        (1, "", 0),
        (3, "", 0),
    ]
    assert [decode(one) for one in log if not one.job] == [started, stopped]


async def test_types_stay_announced(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"), {"a": {"max_attempts": 3}})
    await mill.queue.announce(ev.WorkerStarted("w2"), {"b": None, "a": {"max_attempts": 4}})
    await mill.queue.announce(ev.WorkerStopped("w1"))
    directory = Directory(mill.redis, mill.keys)
    assert await directory.types_of("default") == {"a", "b"}
    found = await mill.redis.hgetall(mill.keys.announced("default"))
    assert found == {b"a": b'{"max_attempts":4}', b"b": b"null"}
    assert await directory.types_of("other") == set()


async def test_without_types(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"), {})
    assert await mill.redis.exists(mill.keys.announced("default")) == 0


async def test_a_lost_log_is_not_written_to(mill: Mill) -> None:
    await mill.queue.announce(ev.WorkerStarted("w1"))
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.queue.announce(ev.WorkerStopped("w1"))


async def test_a_worker_that_stops_is_forgotten_but_not_its_leases(mill: Mill) -> None:
    held = await mill.started()
    await mill.queue.announce(ev.WorkerStopped("w1"))
    assert await mill.consumers() == {"w1"}
    assert await mill.finish(held, "succeeded")
    await mill.queue.announce(ev.WorkerStopped("w1"))
    assert await mill.consumers() == set()

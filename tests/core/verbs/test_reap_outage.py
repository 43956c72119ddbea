"""reap: leases that nobody could renew are given another one."""

from __future__ import annotations

import pytest

from millstream.consumers.testing.moving import Mover

from .mill import Mill

LEASE, AWAY = 30_000, 15_000


class Sweeps:
    """A partition in which time passes between sweeps."""

    def __init__(self, mill: Mill) -> None:
        self.mill = mill
        self.mover = Mover(mill.redis, mill.keys)

    async def after(self, ms: int) -> int:
        """How many leases a sweep takes back that comes so much later."""
        if ms:
            await self.mover.move("default", ms)
        reaped, more = await self.mill.queue.reap(LEASE, 9, 200, AWAY)
        assert not more
        return reaped


@pytest.fixture
async def sweeps(mill: Mill) -> Sweeps:
    """A lease was given to a worker that is gone, in a partition that has long been swept."""
    sweeps = Sweeps(mill)
    for _ in range(5):
        await sweeps.after(10_000)
    await mill.started()
    return sweeps


async def test_a_lease_that_expired_under_watch_is_taken_back(sweeps: Sweeps) -> None:
    assert [await sweeps.after(10_000) for _ in range(4)] == [0, 0, 1, 0]


async def test_a_lease_that_expired_in_an_outage_is_given_another(sweeps: Sweeps) -> None:
    assert await sweeps.after(60_000) == 0
    assert [await sweeps.after(10_000) for _ in range(4)] == [0, 0, 1, 0]


async def test_the_first_sweep_knows_nothing_of_what_was_before(mill: Mill) -> None:
    await mill.started()
    sweeps = Sweeps(mill)
    assert await sweeps.after(60_000) == 0
    assert [await sweeps.after(10_000) for _ in range(4)] == [0, 0, 1, 0]


async def test_a_sweep_that_is_late_is_no_outage(sweeps: Sweeps) -> None:
    assert await sweeps.after(14_000) == 0
    assert await sweeps.after(14_000) == 0
    assert await sweeps.after(14_000) == 1


async def test_outages_one_after_another_are_one(sweeps: Sweeps) -> None:
    assert [await sweeps.after(60_000) for _ in range(3)] == [0, 0, 0]
    assert [await sweeps.after(10_000) for _ in range(3)] == [0, 0, 1]


async def test_workers_that_come_now_and_then_get_on_all_the_same(sweeps: Sweeps) -> None:
    assert [await sweeps.after(3_600_000) for _ in range(4)] == [0, 0, 0, 1]
    await sweeps.mill.claim()
    assert [await sweeps.after(3_600_000) for _ in range(4)] == [0, 0, 0, 1]


async def test_a_clock_that_was_set_back_makes_nothing_longer(sweeps: Sweeps) -> None:
    assert await sweeps.after(60_000) == 0
    redis, meta = sweeps.mill.redis, sweeps.mill.keys.meta("default")
    for field in ("quiet", "swept"):
        await redis.hincrby(meta, field, 3_600_000)
    assert await sweeps.after(0) == 1

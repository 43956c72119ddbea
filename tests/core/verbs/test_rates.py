"""Rates of starts, and aging: what a limit is that time alone lifts."""

from __future__ import annotations

import itertools

from millstream.core import events as ev
from millstream.core.ids import new_id
from millstream.core.limits import Rate
from millstream.core.submitting import new_job

from .limits import ids, limit, starts_of, until
from .mill import Mill


async def test_a_rate_spaces_starts_evenly(mill: Mill) -> None:
    await limit(mill, types={"mail": {"rate": {"limit": 20}}})
    await mill.submit(5, type="mail")
    starts = await starts_of(mill, 5)
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert all(gap >= 49 for gap in gaps), gaps


async def test_a_burst_may_start_at_once(mill: Mill) -> None:
    await limit(mill, types={"mail": {"rate": {"limit": 1, "per": 60, "burst": 3}}})
    await mill.submit(5, type="mail")
    assert len(await mill.claim()) == 3
    claim = await mill.queue.claim("w1", 10)
    assert claim.leases == []
    assert 50_000 < claim.next_due - claim.now <= 60_001


async def test_a_rate_of_the_whole_queue_leaves_jobs_in_their_order(mill: Mill) -> None:
    await limit(mill, rate={"limit": 20})
    late = await mill.submit(3, priority=5)
    urgent = await mill.submit(1, priority=0)
    assert len(await starts_of(mill, 4)) == 4
    order = [r.job for r in await mill.log() if r.type == "job.started"]
    assert order == [*urgent, *late]
    assert (await mill.queue.claim("w1", 10)).next_due == 0, "nothing waits: no timer"


async def test_a_rate_per_key_holds_no_other_key_up(mill: Mill) -> None:
    await limit(mill, types={"mail": {"rate_per_key": {"limit": 1, "per": 60}, "concurrency": 2}})
    slow = await mill.submit(10, type="mail", rate_key="a")
    assert ids(await mill.claim()) == slow[:1]
    fast = await mill.submit(1, type="mail", rate_key="b")
    assert ids(await mill.claim()) == fast, "those of a wait for their rate, not in b's way"


async def test_a_start_that_was_let_in_late_does_not_save_up(mill: Mill) -> None:
    await limit(mill, types={"mail": {"rate": {"limit": 50}}})
    await mill.submit(4, type="mail")
    assert len(await mill.claim()) == 1
    await mill.claim()
    await until(mill, await mill.now() + 100)
    assert len(await mill.claim()) == 1, "time that passed while nobody asked is no burst"


async def test_aging_lets_an_old_job_of_low_priority_run_before_a_new_urgent_one(
    mill: Mill,
) -> None:
    await limit(mill, aging=0.02)
    old, older = (new_job(new_id("default"), ev.JobSubmitted("noop", priority=n)) for n in (9, 3))
    await mill.send([old, older])  # at one instant
    await until(mill, await mill.now() + 200)
    urgent = await mill.submit(3, priority=0)
    assert ids(await mill.claim()) == [older.id, old.id, *urgent]


async def test_aging_keeps_the_order_of_priorities_among_new_jobs(mill: Mill) -> None:
    await limit(mill, aging=60)
    low = await mill.submit(2, priority=5)
    high = await mill.submit(2, priority=1)
    assert ids(await mill.claim()) == high + low


def test_a_high_rate_comes_in_bursts_of_ten_ms() -> None:
    assert Rate(10_000).bound.startswith("100 100 ")
    assert Rate(1, 60).bound.startswith("60000000 1 ")

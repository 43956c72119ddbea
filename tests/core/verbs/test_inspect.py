"""inspect: how a queue stands, at a cost that does not grow."""

from __future__ import annotations

from .mill import ADA, Mill


async def test_a_queue_never_used(mill: Mill) -> None:
    before = await mill.now()
    standing = await mill.queue.inspect()
    assert standing[1:] == ("open", 0, 0, 0, 0, 0, 0)
    assert before <= standing.now <= await mill.now()


async def test_what_waits_and_what_runs(mill: Mill) -> None:
    lease = await mill.started()
    at = await mill.now() + 60_000
    await mill.submit(2, run_at=at)
    before = await mill.now()
    await mill.submit(3, priority=9)
    after = await mill.now()
    await mill.submit(1, priority=0)
    await mill.queue.set_mode("paused", ADA)
    found = await mill.queue.inspect()
    assert (found.mode, found.queued, found.due, found.running) == ("paused", 4, 2, 1)
    assert before <= found.oldest <= after
    assert found.next_due == at
    assert await mill.finish(lease, "succeeded")
    assert (await mill.queue.inspect()).running == 0


async def test_a_lost_group(mill: Mill) -> None:
    await mill.submit(2)
    await mill.claim(1)
    await mill.lose_group()
    assert (await mill.queue.inspect()).queued == 2
    mill.broken |= {"group-missing", "lease-missing"}


async def test_what_is_left_without_a_log(mill: Mill) -> None:
    await mill.submit()
    await mill.queue.set_mode("draining", ADA)
    await mill.lose_log()
    found = await mill.queue.inspect()
    assert (found.mode, found.queued) == ("draining", 1)

"""A job that would have waited on for very many others leaves them: they are told so in parts."""

from __future__ import annotations

import asyncio

import pytest

from millstream.core.ids import new_ids
from millstream.core.joining import Joiner

from .kin import deliver, dependent, outbox
from .mill import ADA, Mill

MANY, PART = 12_000, 5000


async def waiting_on(mill: Mill, many: int = MANY) -> tuple[str, list[str]]:
    """A job that waits for so many, and those, each of which knows of it."""
    await mill.register()
    ids = list(new_ids(mill.partition, many))
    child = dependent(mill, ids, "wait")
    for first in range(0, many, 1000):
        pairs = [(id, f"{child.id}*") for id in ids[first : first + 1000]]
        await mill.queue.watch(pairs, ended=True)
    await mill.send([child])
    return child.id, ids


async def untold(mill: Mill, ids: list[str]) -> set[str]:
    """Those that still count on it to wait for them."""
    return {id for id in ids if await mill.awaited(id)}


@pytest.mark.parametrize("how", ["cancel", "purge"])
async def test_all_are_told_that_it_left(mill: Mill, how: str) -> None:
    child, ids = await waiting_on(mill)
    if how == "cancel":
        assert await mill.cancel(child) == ["cancelled"]
    else:
        cursor, gone = "", 0
        while True:
            cursor, count = await mill.queue.purge(ADA, cursor)
            gone += count
            if not cursor:
                break
        assert gone == 1
    assert await mill.story(child) == ["submitted", "cancelled"]
    assert await mill.parents(child) == set()
    assert len(await untold(mill, ids)) == MANY
    await deliver(mill)
    assert await untold(mill, ids) == set()
    assert await outbox(mill) == 0


async def test_no_call_names_more_than_a_part_of_them(redis_url: str) -> None:
    mill = Mill(redis_url)
    child, ids = await waiting_on(mill)
    await mill.cancel(child)
    assert await outbox(mill) == 1, "the call that ends it names none"
    told: list[str] = []
    while found := await mill.queue.collect(1000):
        assert {tuple(one.jobs) for one in found} == {((child, "left"),)}
        named = [id for one in found for id in one.dependents]
        assert len(named) <= PART
        assert await outbox(mill) <= len(found) + 1
        told += named
        await mill.queue.settle([one.entry for one in found])
    assert sorted(told) == ids
    (await mill.close()).require()


async def test_whoever_dies_between_two_parts_another_tells_all_the_same(mill: Mill) -> None:
    child, ids = await waiting_on(mill)
    await mill.cancel(child)
    died = {id for one in await mill.queue.collect(20) for id in one.dependents}
    assert died
    await mill.lose_joiners()  # the group is made again, and begins with what was not settled
    await mill.queue.collect(20)
    await asyncio.sleep(0.002)
    await mill.now()  # for the log in memory to see it
    await Joiner(mill.directory).deliver(mill.partition, 1)
    assert await untold(mill, ids) == set()
    assert await outbox(mill) == 0


async def test_it_may_be_run_again_before_they_are_told(mill: Mill) -> None:
    child, ids = await waiting_on(mill, 500)
    other, others = await waiting_on(mill, 300)
    await mill.cancel(child, other)
    assert await mill.redrive(child, 2) == "queued"
    await deliver(mill)
    assert await untold(mill, [*ids, *others]) == set()

"""trim: the log is cut off behind the archive, and nowhere else."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from millstream.core.errors import LogLost
from millstream.core.log import LogReader

from .mill import Mill

pytestmark = pytest.mark.parametrize("mill", ["server"], indirect=True)

ENTRIES_PER_NODE = 128
"""Streams are cut by whole nodes; the servers' default is about so many entries."""


async def archived(mill: Mill) -> int:
    return (await LogReader(mill.redis, mill.keys).head("default")).archived


async def test_how_far_the_archive_is_is_noted(mill: Mill) -> None:
    await mill.submit(3)
    assert await mill.queue.trim(2, 1) == 0
    assert await archived(mill) == 2
    assert len(await mill.log()) == 3


async def test_a_slower_projector_does_not_take_it_back(mill: Mill) -> None:
    await mill.submit(3)
    await mill.queue.trim(3, 1)
    await mill.queue.trim(1, 1)
    assert await archived(mill) == 3


async def test_what_is_archived_is_cut_off(mill: Mill) -> None:
    await mill.submit(1000)
    log = await mill.log()
    cut = await mill.queue.trim(1000, 1, log[700].entry)
    left = await mill.log()
    assert 700 - ENTRIES_PER_NODE <= cut <= 700
    assert [one.seq for one in left] == list(range(cut + 1, 1001))
    mill.broken |= {"log-starts-late", "acknowledged-lost", "hot-orphan", "ready-orphan"}
    await mill.submit()
    assert (await mill.log())[-1].seq == 1001


async def test_a_log_cut_off_whole_goes_on(mill: Mill) -> None:
    await mill.submit(500)
    last = (await mill.log())[-1].entry
    await mill.queue.trim(500, 1, f"{int(last.split('-')[0]) + 1}-0")
    assert len(await mill.log()) < ENTRIES_PER_NODE
    await mill.submit()
    assert (await mill.log())[-1].seq == 501
    mill.broken |= {"log-starts-late", "acknowledged-lost", "hot-orphan", "ready-orphan"}


@pytest.mark.parametrize("beyond", [True, False])
async def test_what_is_not_archived_is_not_cut_off(mill: Mill, beyond: bool) -> None:
    await mill.submit(600)
    log = await mill.log()
    entry = f"{int(log[-1].entry.split('-')[0]) + 1}-0" if beyond else log[500].entry
    with pytest.raises(ResponseError, match="archived is seq 499"):
        await mill.queue.trim(499, 1, entry)
    assert await mill.log() == log
    if not beyond:
        await mill.queue.trim(500, 1, entry)
        mill.broken |= {"log-starts-late", "acknowledged-lost", "hot-orphan", "ready-orphan"}


async def test_another_epoch_cuts_nothing(mill: Mill) -> None:
    await mill.submit(3)
    assert await mill.queue.trim(3, 2, "9999999999999-0") == -1
    assert await mill.queue.trim(3, 0) == -1
    assert await archived(mill) == 0
    assert len(await mill.log()) == 3


async def test_a_log_that_went_back_is_noticed(mill: Mill) -> None:
    await mill.submit(3)
    with pytest.raises(LogLost, match="gone back to seq 3 of epoch 1, archived is seq 7"):
        await mill.queue.trim(7, 1)
    assert await archived(mill) == 0


async def test_a_lost_log(mill: Mill) -> None:
    await mill.submit(3)
    await mill.lose_log()
    with pytest.raises(LogLost):
        await mill.queue.trim(3, 1)

"""Jobs that wait for others across queues, of which one or all are lost: what an undisturbed run
does is done, whenever that happens, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from millstream.core.config import Settings
from millstream.core.log import LogReader
from millstream.projections.linker import Linker
from tests.projections.stage import projecting

from .flows import QUEUES, all_ends_well, flows


@pytest.mark.parametrize("lost", [(), ("a",), ("b",), ("a", "b")], ids=lambda lost: "".join(lost))
@pytest.mark.parametrize("when", ["before", "untold", "told", "waiting"])
async def test_flows_end_as_if_nothing_had_happened(
    settings: Settings, lost: Sequence[str], when: str
) -> None:
    """Lost before any job ran; when parents have ended and nobody was told; when all were told; and
    while some wait for a parent that failed to be run again."""
    async with flows(settings) as stage, projecting(settings):
        await stage.build()

        async def now(name: str) -> None:
            if lost and name == when:
                await stage.archived()
                await stage.lose(settings, lost)

        await now("before")
        await stage.work()
        await now("untold")
        for name in QUEUES:
            await stage.joiner.deliver(name)
        await now("told")
        await stage.drain()
        await now("waiting")
        await all_ends_well(stage, settings)


async def test_who_was_made_again_is_looked_after_at_once(settings: Settings) -> None:
    """How a parent of another queue ended may not be archived yet: that is found out soon."""
    async with flows(settings) as stage, projecting(settings):
        await stage.build()
        await stage.archived()
        await stage.lose(settings, ["b"])
        queue = stage.directory.queue("b")
        waiting = {one.job for one in await queue.overdue(300_000, 100, 10, look_ms=1000)}
        rows = await stage.pool.fetch(
            "SELECT id::text FROM jobs WHERE queue = 'b' AND state = 'blocked'"
        )
        assert waiting == {row[0] for row in rows}
        assert await stage.directory.linked() == ["a", "b"]


async def test_who_waits_in_a_queue_that_was_not_lost_is_looked_after_at_once(
    settings: Settings,
) -> None:
    """It was not archived yet that it waits: the jobs that it waits for know nothing of it."""
    async with flows(settings) as stage:
        async with projecting(settings):
            for queue in QUEUES:
                await stage.directory.register(queue)
                await stage.directory.link(queue)
            await stage.submit("parent", "a")
            await stage.archived()
        child = stage.name("child", "b")
        await stage.directory.queue("a").watch([(stage.jobs["parent"], child)])
        await stage.submit("child", "b", after=["parent"])
        await stage.lose(settings, ["a"])
        reader = LogReader(stage.redis, stage.keys)
        await Linker(stage.directory, stage.joiner, reader, stage.pool).sweep()
        await stage.drain()
        assert stage.ran[child] == 1

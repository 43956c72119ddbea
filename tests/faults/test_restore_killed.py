"""A restore of flows across queues, killed at each of its steps and run again: what an undisturbed
run does is done, and nothing is done twice."""

from __future__ import annotations

import pytest

from millstream.core.config import Settings
from tests.projections.stage import projecting

from .flows import QUEUES, all_ends_well, flows
from .lost import killed_restore, run

POINTS = [
    "before condemn", "after condemn", "before set_aside", "after set_aside", "after begin",
    "after make", "after 3 make", "before link", "after link", "after 3 link", "before put_linked",
    "after put_linked", "after put_locks", "after put_settings", "before hasten", "after hasten",
    "before end", "after end", "before note_restored", "after note_restored", "before publish",
    # in the second queue, when the first is open
    "after 2 set_aside", "before 2 put_linked", "after 2 put_linked", "after 2 hasten",
    "after 2 end",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
async def test_flows_go_on_wherever_a_restore_was_killed(settings: Settings, point: str) -> None:
    """Parents have ended, and nobody was told, when both queues are lost."""
    async with flows(settings) as stage, projecting(settings):
        await stage.build()
        await stage.work()
        await stage.archived()
        await stage.redis.flushall()
        await killed_restore(settings, point)
        await run(settings)
        assert (await run(settings)).fine == list(QUEUES)
        losses = await stage.pool.fetch("SELECT partition, restored_at, report FROM log_losses")
        assert {row["partition"] for row in losses} == set(QUEUES)
        assert all(row["restored_at"] and row["report"] for row in losses)
        assert await stage.directory.linked() == list(QUEUES)
        await all_ends_well(stage, settings)

"""A rebuild of a test, from tables that were projected."""

from __future__ import annotations

from typing import Any

from millstream.core import events as ev
from millstream.core.config import Settings
from millstream.projections.rebuild.course import Course, Step
from tests.projections.stage import (
    Log,
    all_records,
    projecting,
    until_seq,
    work,
)


async def rebuild(settings: Settings, *, processes: int = 1, accept: bool = False) -> list[Step]:
    steps: list[Step] = []
    await Course(settings, steps.append, processes=processes, accept=accept).run()
    return steps


async def projected(settings: Settings, log: Log, pool: Any, jobs: int = 300) -> list[ev.Record]:
    """A log of jobs in all states, and its tables."""
    await work(log, jobs)
    records = await all_records(log)
    async with projecting(settings):
        await until_seq(pool, len(records))
    return records

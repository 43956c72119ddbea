"""What commands on many jobs read: pages of ids, the specs of jobs, counts by queue."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.config import Settings
from millstream.core.errors import InvalidCursor
from millstream.core.jobs import JobState
from millstream.projections.listing import JobFilter
from millstream.projections.targets import Target, list_targets, queue_states, specs
from tests.projections.stage import life
from tests.projections.test_queries import lives, spec, store
from tests.strategies import job_id


async def test_targets_come_page_by_page_newest_first(pool: Any, settings: Settings) -> None:
    await store(settings.postgres_dsn, lives())
    odd = JobFilter(type="odd")
    first = await list_targets(pool, odd, None, 3)
    assert [one.id for one in first.items] == [job_id(9), job_id(7), job_id(5)]
    assert first.items[0] == Target(job_id(9), "default", 5, 4)
    second = await list_targets(pool, odd, first.next_cursor, 3)
    assert [one.id for one in second.items] == [job_id(3), job_id(1)]
    assert second.next_cursor is None
    states = JobFilter(states=(JobState.RUNNING, JobState.QUEUED))
    found = await list_targets(pool, states, None, 10)
    assert [one.id for one in found.items] == [job_id(n) for n in (8, 7, 4, 3)]
    with pytest.raises(InvalidCursor):
        await list_targets(pool, odd, "nonsense", 3)


async def test_the_last_spec_of_each_job(pool: Any, settings: Settings) -> None:
    replaced = ev.JobReplaced(type="odd", payload=wrap({"n": 2}), delay_ms=1000)
    changed = life(1, spec("odd", delay_ms=5000), replaced)
    records = changed + life(2, spec("even"), seq=3)
    await store(settings.postgres_dsn, records)
    found = await specs(pool, [job_id(1), job_id(2), job_id(3)])
    assert found == {job_id(1): records[1].body, job_id(2): records[2].body}
    assert await specs(pool, []) == {}


async def test_counts_by_queue(pool: Any, settings: Settings) -> None:
    await store(settings.postgres_dsn, lives())
    assert await queue_states(pool, ["default", "never"]) == {
        "default": {"queued": 2, "running": 2, "succeeded": 2, "failed": 3},
        "never": {},
    }

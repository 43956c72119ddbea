"""Each way the tables can differ from the events is tried once, and must be found by its name."""

from __future__ import annotations

import pytest

from millstream.core.config import Settings
from tests.core.verbs.mill import Mill

from .broken import found, project_all

UNLOCK = "ALTER TABLE job_events DISABLE TRIGGER USER;"

TABLES: dict[str, tuple[str, set[str]]] = {
    "nothing": ("SELECT 1", set()),
    "a row lost": (
        "DELETE FROM jobs WHERE state = 'failed'",
        {"row-missing", "counts-differ", "letters-differ"},
    ),
    "a row of nobody": (
        "UPDATE jobs SET id = overlay(id::text placing '000' from 34)::uuid WHERE state = 'failed'",
        {"row-missing", "row-orphan"},
    ),
    "another state": (
        "UPDATE jobs SET state = 'succeeded' WHERE state = 'failed'",
        {"row-differs", "counts-differ", "letters-differ"},
    ),
    "another result": ("UPDATE jobs SET result = '2' WHERE state = 'succeeded'", {"row-differs"}),
    "a version ahead": ("UPDATE jobs SET version = version + 1", {"row-differs"}),
    "a link of nobody": (
        "INSERT INTO job_links VALUES (gen_random_uuid(), gen_random_uuid(), NULL)",
        {"links-differ"},
    ),
    "a flow of nobody": (
        "INSERT INTO flows VALUES (gen_random_uuid(), 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0)",
        {"flows-differ"},
    ),
    "a count": (
        "UPDATE job_counts SET count = count + 1 WHERE state = 'failed'",
        {"counts-differ"},
    ),
    "a dead letter": ("UPDATE dead_letters SET count = count + 1", {"letters-differ"}),
    "a group of dead letters lost": ("DELETE FROM dead_letters", {"letters-differ"}),
    "a label": ("UPDATE dead_letters SET label = 'fine'", {"letters-differ"}),
    "a letter discarded": (
        "UPDATE jobs SET discarded = true WHERE state = 'failed'",
        {"row-differs", "letters-differ"},
    ),
    "a count lost": ("DELETE FROM job_counts WHERE state = 'failed'", {"counts-differ"}),
    "a snapshot": ("UPDATE queue_snapshots SET failed = failed + 1", {"snapshots-differ"}),
    "a snapshot of nothing": ("UPDATE queue_snapshots SET seq = seq + 99", {"snapshots-differ"}),
    "a minute": ("UPDATE job_minutes SET started = started + 1", {"minutes-differ"}),
    "a duration": ("UPDATE job_minute_durations SET count = count + 1", {"durations-differ"}),
    "a sum of durations": ("UPDATE job_durations SET count = count + 1", {"durations-differ"}),
    "the checkpoint": ("UPDATE checkpoints SET seq = seq - 1", {"checkpoint-differs"}),
    "a halt": ("UPDATE checkpoints SET halted = 'gap'", {"projection-halted"}),
    "an archived body": (
        UNLOCK + "UPDATE job_events SET body = '{\"actor\":\"eve\"}' WHERE type = 'job.cancelled'",
        {"archive-differs"},
    ),
    "an archived event lost": (
        UNLOCK + "DELETE FROM job_events WHERE type = 'worker.started'",
        {"checkpoint-differs", "snapshots-differ"},
    ),
    "a parked event": (
        "INSERT INTO parked_events (partition, epoch, seq, version, time, entry, job, type, body,"
        " reason) VALUES ('default', 1, 1, 1, 1, '1-0', 'x', 'x', 'x', 'poison')",
        {"event-parked"},
    ),
}


@pytest.mark.parametrize("what", sorted(TABLES))
async def test_broken_tables_are_found(mill: Mill, settings: Settings, what: str) -> None:
    statement, names = TABLES[what]
    connection = await project_all(mill, settings)
    await connection.execute(statement)
    await connection.close()
    assert await found(mill, dsn=settings.postgres_dsn) == names

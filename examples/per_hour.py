"""A projection of one's own: how many jobs of each type ended in each hour, and how.

    millstream project --app examples/per_hour.py

Then, in PostgreSQL: SELECT * FROM per_hour ORDER BY hour, type.
"""

from collections import Counter
from typing import Any

from millstream.core.events import Event, JobCancelled, JobFailed, JobSubmitted, JobSucceeded
from millstream.projections.own import Batch, Projection

ENDS: dict[type[Event], str] = {
    JobSucceeded: "succeeded",
    JobFailed: "failed",
    JobCancelled: "cancelled",
}


class PerHour(Projection):
    """Only submissions say what type a job is, so that is kept, too."""

    name = "per_hour"
    version = 1
    tables = """
        CREATE TABLE per_hour (
            hour  timestamptz NOT NULL,
            type  text NOT NULL,
            ended text NOT NULL,
            count bigint NOT NULL,
            PRIMARY KEY (hour, type, ended)
        );
        CREATE TABLE per_hour_types (job uuid PRIMARY KEY, type text NOT NULL);
    """

    async def apply(self, batch: Batch, connection: Any) -> None:
        types = {
            record.job: event.type for record, event in batch if isinstance(event, JobSubmitted)
        }
        await connection.executemany(
            "INSERT INTO per_hour_types VALUES ($1, $2)"
            " ON CONFLICT (job) DO UPDATE SET type = excluded.type",
            list(types.items()),
        )
        ends = [(record, ENDS[type(event)]) for record, event in batch if type(event) in ENDS]
        rows = await connection.fetch(
            "SELECT job::text, type FROM per_hour_types WHERE job = ANY ($1::uuid[])",
            [record.job for record, _ in ends],
        )
        known = {row["job"]: row["type"] for row in rows}
        counts = Counter(
            (record.time // 3_600_000 * 3600, known.get(record.job, "unknown"), ended)
            for record, ended in ends
        )
        await connection.executemany(
            "INSERT INTO per_hour AS old VALUES (to_timestamp($1), $2, $3, $4)"
            " ON CONFLICT (hour, type, ended) DO UPDATE SET count = old.count + excluded.count",
            [(*key, count) for key, count in sorted(counts.items())],
        )

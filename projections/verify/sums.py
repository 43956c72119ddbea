"""The last pass: counters against GROUP BY over the rows, statistics against each other."""

from typing import Any

from ..effect import MINUTE_FIELDS
from ..statements import statement
from .jobs import JobPass
from .report import Run

COUNTED = (
    ("counts-differ", "verify_states", "job_counts", ("queue", "type", "state")),
    (
        "letters-differ",
        "verify_letters",
        "dead_letters",
        ("queue", "type", "reason", "fingerprint"),
    ),
)
"""Finding, statement that groups the rows, table of counters, its key."""


async def check_sums(connection: Any, run: Run, jobs: JobPass) -> None:
    """Hold each counter against what it counts."""
    queues = list(run.plan.queues) or None
    for kind, name, table, key in COUNTED:
        told = _sums(await connection.fetch(statement(name), queues))
        columns = "||'/'||".join(key)
        stored = await connection.fetch(
            f"SELECT {columns} AS key, count FROM {table}"  # noqa: S608 (names of ours)
            " WHERE $1::text[] IS NULL OR queue = ANY ($1)",
            queues,
        )
        run.differ(kind, told, _sums(stored))
    minutes = await connection.fetch(statement("verify_minute_durations"), queues)
    totals = _sums(await connection.fetch(statement("verify_durations"), queues))
    run.differ("durations-differ", _sums(minutes), totals)
    await _check_statistics(connection, run, jobs, totals, queues)


async def _check_statistics(
    connection: Any, run: Run, jobs: JobPass, totals: dict[str, int], queues: list[str] | None
) -> None:
    """Statistics against the events: only where all of them were folded, in this run."""
    if not run.cursor.whole or run.cursor.late or run.plan.cutoffs:
        run.note("statistics were not compared with events: not all events were read in this run")
        return
    if run.found.counts.keys() & {"row-missing", "row-orphan"}:
        run.note("statistics were not compared with events: which belong to rows is not certain")
        return
    rows = await connection.fetch(statement("verify_minutes"), queues)
    stored = {f"{row['key']}/{name}": row[name] for row in rows for name in MINUTE_FIELDS}
    run.differ("minutes-differ", dict(jobs.minutes), stored)
    run.differ("durations-differ", dict(jobs.durations), totals)
    letters = connection.cursor(statement("verify_dead_letters"), queues)
    await jobs.letters.check(run, aiter(letters))


def _sums(rows: Any) -> dict[str, int]:
    return {row["key"]: int(row["count"]) for row in rows}

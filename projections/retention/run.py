"""One pass over all days: what may go, goes. One pass at a time, whoever runs it."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..connection import connect_once, translated
from ..partitions import DAY_MS, number_of_day
from ..statements import statement
from ..tables import columns
from .events import drop_events
from .jobs import drop_jobs
from .policy import SLACK_DAYS, Policy

LOCK = 0x6D696C6E
"""Of a pass, alone; whoever reads the whole archive holds it, shared, and there is no pass."""

_DAY = re.compile(r"(?:jobs|job_events)_(\d{8})")
STATEMENT_TIMEOUT = 3600.0


class Dropped(NamedTuple):
    """What a pass dropped, or would have dropped: jobs, events, lines of statistics, and counts of
    queues as they were."""

    jobs: int = 0
    events: int = 0
    minutes: int = 0
    snapshots: int = 0


async def drop_expired(dsn: str, policy: Policy, now: int, *, dry_run: bool = False) -> Dropped:
    """Drop what is older at `now` (ms) than `policy` wants it kept; all but what is held.

    Nothing while another pass is under way. Raises Unavailable; what was dropped by then stays
    dropped, and the next pass goes on.
    """
    if policy.nothing:
        return Dropped()
    connection = await connect_once(dsn, timeout=STATEMENT_TIMEOUT, role="retention")
    try:
        with translated():
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return Dropped()
            return await _pass(connection, policy, now, dry_run)
    finally:
        connection.terminate()


async def _pass(connection: Any, policy: Policy, now: int, dry: bool) -> Dropped:
    queues = [row[0] for row in await connection.fetch("SELECT partition FROM checkpoints")]
    cutoffs = policy.cutoffs(queues, now - SLACK_DAYS * DAY_MS)
    minutes, snapshots = await _drop_statistics(connection, policy, now, dry)
    if not dry:
        rows = [("jobs", queue, cutoff) for queue, cutoff in cutoffs.items()]
        await _note(connection, rows)
    last = policy.last_day(now)
    jobs = events = 0
    if last is not None:
        for day in await _days(connection, "jobs", last):
            jobs += await drop_jobs(connection, day, cutoffs, dry=dry)
        for day in await _days(connection, "job_events", last):
            events += await drop_events(connection, day, cutoffs, dry=dry)
    return Dropped(jobs, events, minutes, snapshots)


async def _days(connection: Any, parent: str, last: int) -> Sequence[int]:
    """The days up to `last` that have a partition of `parent`, in order."""
    names = [row[0] for row in await connection.fetch(statement("partition_names"), parent)]
    days = (number_of_day(found[1]) for found in map(_DAY.fullmatch, names) if found)
    return sorted(day for day in days if day <= last)


async def _drop_statistics(connection: Any, policy: Policy, now: int, dry: bool) -> tuple[int, int]:
    if policy.statistics is None:
        return 0, 0
    before = now - round(policy.statistics * DAY_MS)
    if dry:
        minutes = await connection.fetchval(statement("count_old_minutes"), before)
        return minutes, await connection.fetchval(statement("count_old_snapshots"), before)
    await _note(connection, [("minutes", "", before)])
    minutes = await connection.fetchval(statement("drop_old_minutes"), before)
    dropped = await connection.execute(statement("drop_old_snapshots"), before)
    return minutes, int(dropped.removeprefix("DELETE "))


async def _note(connection: Any, rows: list[tuple[str, str, int]]) -> None:
    """Say up to where rows may be gone from now on: kind, queue, time."""
    if rows:
        await connection.execute(statement("note_dropped_before"), *columns(rows))

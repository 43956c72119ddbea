"""The invariant checker: reads what really happened, and names every promise that was not kept.

It reads the whole log of each partition (from the archive where the stream was trimmed), the hot
state in Redis and the tables in PostgreSQL, and compares all of them. It trusts the pure state
machine of `millstream.core.jobs` and nothing else of ours that writes.

    report = await check(redis_url, ["default"], acknowledged=ids, drained=True, dsn=dsn)
    report.require()

Names: see the tests in `tests/audits`, which break each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millstream.core.audits.history import History
from millstream.core.audits.report import Report, Violation
from millstream.core.connection import connect
from millstream.core.events import Record
from millstream.core.keys import Keys
from millstream.core.log import Head, LogReader

from .audits.hot import Hot, audit_head, audit_hot, read_hot
from .audits.schedules import audit_schedules
from .audits.tables import (
    Stored,
    audit_archive,
    audit_checkpoints,
    audit_tables,
    read_stored,
)
from .audits.watched import Audit, Watched, audit_history

__all__ = ["Report", "Violation", "audit_history", "check", "read_log"]

ATTEMPTS = 50
"""How often a partition that is still written to is read again before giving up."""


async def check(
    redis_url: str,
    partitions: Sequence[str],
    *,
    acknowledged: Iterable[str] = (),
    drained: bool = False,
    dsn: str | None = None,
    namespace: str = "ms",
    moved: Mapping[str, int] | None = None,
    others: Sequence[Audit] = (),
) -> Report:
    """Audit `partitions`.

    acknowledged  ids whose submission was answered: each must be in the log
    drained       all work is over: every job must have ended, and with a `dsn` the projection
                  must have passed the end of each log
    dsn           of the database whose archive and tables are to be audited too
    moved         job → by how many ms its due time was moved back, to let time pass in a test
    others        are told of every event, too
    """
    redis, keys = connect(redis_url, timeout=30), Keys(namespace)
    try:
        snapshots = {name: await _at_rest(redis, keys, name) for name in partitions}
    finally:
        await redis.aclose()
    stored = None if dsn is None else await read_stored(dsn, partitions)
    history = Watched(others)
    for name, (head, log, hot) in snapshots.items():
        archive = [] if stored is None else [r for r in stored.archive if r.partition == name]
        hot.moved = moved or {}
        _audit_partition(history, name, head, log, hot, archive)
    if stored is not None:
        heads = {name: head.seq for name, (head, _, _) in snapshots.items()}
        _audit_stored(history.report, stored, heads if drained else None)
    return history.close(acknowledged, drained=drained)


def _audit_partition(
    history: History, name: str, head: Head, log: list[Record], hot: Hot, archive: list[Record]
) -> None:
    audit_archive(history.report, archive, log)
    archived = {record.position for record in archive}
    whole = archive + [record for record in log if record.position not in archived]
    for record in whole:
        history.take(record)
    tracks = {job: t for job, t in history.tracks.items() if t.job.queue == name}
    audit_head(history.report, name, head, whole[-1].seq if whole else 0)
    audit_hot(history.report, name, hot, tracks)
    if name not in history.late:
        audit_schedules(history.report, hot.schedules, history.fired.of(name))


def _audit_stored(report: Report, stored: Stored, heads: dict[str, int] | None) -> None:
    archived = History()  # its own violations are known already, from the whole
    for record in stored.archive:
        archived.take(record)
    audit_checkpoints(report, stored, heads)
    audit_tables(report, stored, archived.tracks)


async def read_log(redis: Any, keys: Keys, partition: str) -> list[Record]:
    """All records the stream holds."""
    reader, records, start = LogReader(redis, keys), list[Record](), "-"
    while found := await reader.range(partition, start, count=5000):
        records += found
        start = f"({found[-1].entry}"
    return records


async def _at_rest(redis: Any, keys: Keys, partition: str) -> tuple[Head, list[Record], Hot]:
    """Log and hot state of one instant: read again if an event came in between."""
    reader = LogReader(redis, keys)
    for _ in range(ATTEMPTS):
        head = await reader.head(partition)
        log, hot = await read_log(redis, keys, partition), await read_hot(redis, keys, partition)
        if await reader.head(partition) == head:
            return head, log, hot
    raise AssertionError(f"partition {partition}: expected it at rest, it is still written to")

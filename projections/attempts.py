"""The attempts at a job, as its events tell them. Errors: Unavailable."""

from collections.abc import Iterable

import asyncpg
import msgspec

from ..core import events as ev
from ..core.errors import UnreadableEvent
from ..core.events import Fault, Record
from ..core.hot import token
from ..core.ids import is_id
from ..core.upcast import decode
from .connection import translated
from .rows import read_record
from .statements import statement

PAGE = 500
"""Events read at once: results and tracebacks may be large."""

TOLD = frozenset(
    kind.name
    for kind in (
        ev.JobStarted,
        ev.JobSucceeded,
        ev.JobAttemptFailed,
        ev.JobFailed,
        ev.JobSnoozed,
        ev.JobReleased,
        ev.JobLeaseExpired,
        ev.JobCrashed,
        ev.JobCancelled,
        ev.JobQueued,
    )
)
"""Events that begin an attempt or may end one; what else a job has to tell is passed over."""


class Attempt(msgspec.Struct):
    """One attempt. Times are ms since 1970.

    number    as the handler was told; begins again at 1 when the job is run again
    fence     its fencing token, which tells the version of its job.started, too
    outcome   succeeded, failed, snoozed, released, cancelled, crashed, lost; None: it runs
    retry_at  when it is tried again, if it failed and is
    """

    number: int
    fence: int
    worker: str
    started_at: int
    ended_at: int | None = None
    outcome: str | None = None
    error: Fault | None = None
    retry_at: int | None = None


def attempts_of(records: Iterable[Record]) -> list[Attempt]:
    """The attempts that the events of one job tell of; it may begin in the midst of a life."""
    found: list[Attempt] = []
    for record in records:
        if record.type not in TOLD:
            continue
        try:
            event = decode(record)
        except UnreadableEvent:  # parked: its job goes no further
            continue
        if isinstance(event, ev.JobStarted):
            fence = token(record.epoch, record.version)
            found.append(Attempt(event.attempt, fence, event.worker, record.time))
        elif found and found[-1].ended_at is None:
            _end(found[-1], event, record.time)
    return found


def _end(attempt: Attempt, event: ev.Event, time: int) -> None:
    match event:
        case ev.JobSucceeded():
            attempt.outcome = "succeeded"
        case ev.JobAttemptFailed(error=error, retry_ms=retry_ms):
            attempt.outcome, attempt.error = "failed", error
            attempt.retry_at = None if retry_ms is None else time + retry_ms
        case ev.JobFailed(error=error):
            attempt.outcome, attempt.error = "failed", error
        case ev.JobSnoozed():
            attempt.outcome = "snoozed"
        case ev.JobReleased():
            attempt.outcome = "released"
        case ev.JobLeaseExpired():
            attempt.outcome = "crashed"
        case ev.JobCrashed(cause=cause):
            attempt.outcome, attempt.error = "crashed", Fault("Crashed", cause)
        case ev.JobCancelled():
            attempt.outcome = "cancelled"
        case _:  # job.queued in the midst of an attempt: its lease went with the consumer group
            attempt.outcome = "lost"
    attempt.ended_at = time


async def job_attempts(pool: asyncpg.Pool, id: str, after: int, limit: int) -> list[Attempt]:
    """The first `limit` archived attempts at a job that began after that version, in order."""
    records: list[Record] = []
    if not is_id(id):
        return []
    version, started = after, 0
    while started <= limit:  # one more begun: all before it have ended
        with translated():
            rows = await pool.fetch(statement("job_attempts"), id, version, PAGE)
        page = [read_record(row) for row in rows]
        records += page
        started += sum(record.type == ev.JobStarted.name for record in page)
        if len(page) < PAGE:
            break
        version = page[-1].version
    return attempts_of(records)[:limit]

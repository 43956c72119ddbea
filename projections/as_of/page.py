"""A page of jobs as they were.

Candidates are the rows of jobs that existed then, newest first. The row of a job that had ended for
good tells all of it; of any other the events are folded. What is looked at for one page is bounded:
a page may hold fewer jobs than asked for, even none, and lead on to the next.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from ...core.jobs import Job
from ..connection import translated
from ..listing import MAX_MS, JobFilter, conditions, next_cursor, read_cursor
from ..queries import JobPage, get_jobs
from ..rows import error_text
from .jobs import Folding
from .reading import PAGE, fetch_records

WINDOW = 500
MOST_EXAMINED = 5000
"""Rows looked at for one page."""

MOST_FOLDED = 500
"""Jobs whose events are folded for one page."""

AHEAD_MS = 2000
"""How far the clock that made an id may be ahead of that of the log."""

LONG = 200
"""A history of more events than that is folded on its own, page by page."""

_AT_ONCE = 50


class Candidate(NamedTuple):
    """A row: `settled`, it tells the job as it was; `fits`: it may be one that is asked for."""

    id: str
    version: int
    submitted_at: int
    settled: bool
    fits: bool


async def page_at(
    pool: asyncpg.Pool, wanted: JobFilter, at: int, cursor: str | None, limit: int
) -> JobPage:
    """Jobs that fitted `wanted` at an instant, newest first. The tables must have passed it."""
    before, found, examined, folded = read_cursor(cursor), list[Job](), 0, 0
    while examined < MOST_EXAMINED and folded < MOST_FOLDED:
        rows = await _candidates(pool, wanted, at, before)
        fitting = [row for row in rows if row.fits]
        for first in range(0, len(fitting), _AT_ONCE):
            part = fitting[first : first + _AT_ONCE]
            jobs = await _as_they_were(pool, part, at)
            folded += sum(not row.settled for row in part)
            for row in part:
                job = jobs.get(row.id)
                if job is not None and fits(job, wanted):
                    found.append(job)
                    if len(found) == limit:
                        return JobPage(found, next_cursor(job.id))
            if folded >= MOST_FOLDED and first + _AT_ONCE < len(fitting):
                return JobPage(found, next_cursor(part[-1].id))
        examined += len(rows)
        if len(rows) < WINDOW:
            return JobPage(found, None)
        before = rows[-1].id
    assert before is not None
    return JobPage(found, next_cursor(before))


def candidates(wanted: JobFilter, at: int, before: str | None) -> tuple[str, list[object]]:
    """The statement that finds the next candidates, and its arguments.

    Queue and type of a job never change; all else may have been another then.
    """
    args: list[object] = [WINDOW, at]
    created_before = min(wanted.created_before or MAX_MS, at + AHEAD_MS)
    fixed = JobFilter(
        queue=wanted.queue,
        type=wanted.type,
        created_after=wanted.created_after,
        created_before=created_before,
    )
    hard = [*conditions(fixed, before, args), "submitted_at <= $2"]
    varying = JobFilter(
        tag=wanted.tag,
        error=wanted.error,
        fingerprint=wanted.fingerprint,
        discarded=wanted.discarded,
        command=wanted.command,
    )
    soft = list(conditions(varying, None, args))
    if wanted.states:
        args.append([state.value for state in wanted.states])
        soft.append(f"state = ANY (${len(args)}::text[])")
    settled = "(finished_at IS NOT NULL AND finished_at <= $2 AND NOT discarded)"
    fits = f"(NOT {settled} OR ({' AND '.join(soft) or 'true'}))"
    return (
        f"SELECT id, version, submitted_at, {settled} AS settled, {fits} AS fits FROM jobs"  # noqa: S608
        f" WHERE {' AND '.join(hard)} ORDER BY id DESC LIMIT $1"
    ), args


async def _candidates(
    pool: asyncpg.Pool, wanted: JobFilter, at: int, before: str | None
) -> list[Candidate]:
    sql, args = candidates(wanted, at, before)
    with translated():
        rows = await pool.fetch(sql, *args)
    return [Candidate(str(row[0]), *row[1:]) for row in rows]


async def _as_they_were(pool: asyncpg.Pool, rows: Sequence[Candidate], at: int) -> dict[str, Job]:
    found = await get_jobs(pool, [row.id for row in rows if row.settled])
    # One that was run again since its row was looked at is settled no more.
    found = {id: job for id, job in found.items() if _settled(job, at)}
    changed = [row for row in rows if row.id not in found]
    folds: dict[str, Folding] = {}
    if short := [row for row in changed if row.version <= LONG]:
        since, ids = min(row.submitted_at for row in short), [row.id for row in short]
        for record in await fetch_records(pool, "jobs_past", ids, since, at):
            folds.setdefault(record.job, Folding()).take(record)
    for row in changed:
        if row.version > LONG:
            folds[row.id] = await _folded(pool, row.id, at)
    return found | {id: fold.job for id, fold in folds.items() if fold.job is not None}


def _settled(job: Job, at: int) -> bool:
    return job.finished_at is not None and job.finished_at <= at and not job.discarded


async def _folded(pool: asyncpg.Pool, job: str, at: int) -> Folding:
    folding, version = Folding(), 0
    while page := await fetch_records(pool, "job_past", job, version, at, PAGE):
        for record in page:
            folding.take(record)
        version = page[-1].version
    return folding


def fits(job: Job, wanted: JobFilter) -> bool:
    """Whether a job is one that is asked for, as the conditions of the list say it."""
    error = None if job.error is None else error_text(job.error)
    return (
        (not wanted.states or job.state in wanted.states)
        and wanted.type in (None, job.type)
        and wanted.queue in (None, job.queue)
        and (wanted.tag is None or wanted.tag in job.tags)
        and (wanted.error is None or (error is not None and wanted.error.lower() in error.lower()))
        and wanted.fingerprint in (None, job.fingerprint)
        and wanted.discarded in (None, job.discarded)
        and wanted.command in (None, job.command)
    )

"""The contract's JSON of jobs, events and statistics, made from what core and projections know."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ..core.codec import NULL, Data
from ..core.events import Fault, Record
from ..core.hot import HotJob
from ..core.jobs import JOBS, Job, JobState, Progress
from ..core.times import time_of as time_of
from ..projections.attempts import Attempt
from ..projections.queries import Summary

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

FAILURES = {
    "exhausted": "every attempt failed",
    "non_retryable": "the handler said that trying again is no use",
    "expired": "the job had not started when it expired",
    "poison": "too many workers were lost while they ran the job",
    "handler_missing": "no worker had a handler for the job's type",
    "parent_failed": "a job it depends on did not succeed",
    "parent_missing": "a job it depends on is not there",
}
"""Why a job was given up, for jobs that no error tells of."""


class ErrorView(Struct, gc=False):
    """What went wrong in the last attempt."""

    type: str
    message: str
    traceback: str


class ProgressView(Struct, gc=False):
    """How far the job has come, from 0 to 1, as its handler told it at a time."""

    value: float
    message: str
    at: Time


class JobView(Struct, gc=False):
    """A job.

    progress     what its last attempt told of it; 1 once it succeeded; null: it told nothing
    blocked_on   the limit it waits for while it is blocked, or `jobs`
    flow         the flow it is part of; `on_parent_failure`: of a job that waits for others
    schedule     the schedule that submitted it; `occurrence`: the instant it stands for
    fingerprint  of a failed one, as in the dead letters; `discarded`: it is in them no more
    command      the action on many jobs that ran it again
    erased       its payload was encrypted for a subject, and cannot be read (any more)
    position     of its last event, null while the projection has not seen the job
    """

    id: str
    queue: str
    type: str
    state: JobState
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    payload: msgspec.Raw
    result: msgspec.Raw | None
    error: ErrorView | None
    progress: ProgressView | None
    submitted_at: Time
    run_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    worker: str | None
    tags: list[str]
    metadata: dict[str, str]
    blocked_on: str | None
    concurrency_key: str | None
    rate_key: str | None
    schedule: str | None
    occurrence: Time | None
    flow: str | None
    on_parent_failure: str | None
    fingerprint: str | None
    discarded: bool
    command: str | None
    erased: bool
    version: int
    position: str | None


class AttemptView(Struct, gc=False):
    """One attempt at a job. `number` begins again when the job is run again; `fence` does not.

    `outcome`: succeeded, failed, snoozed, released, cancelled, crashed (its process died, or its
    worker did not renew the lease), lost (the consumer group was), or null while it runs.
    `retry_at`: when a failed one is tried again.
    """

    number: int
    fence: int
    worker: str
    started_at: Time
    ended_at: Time | None
    outcome: str | None
    error: ErrorView | None
    retry_at: Time | None


class EventView(Struct, gc=False):
    """One event of the log."""

    position: str
    seq: int
    epoch: int
    time: Time
    type: str
    job_id: str | None
    version: int
    body: msgspec.Raw


class Page(Struct, gc=False):
    """A part of a list; `next_cursor` leads to the next part, null at the end."""

    items: Sequence[Any]
    next_cursor: str | None


class Percentiles(Struct):
    """Milliseconds; null while there is nothing to measure."""

    p50: float | None
    p95: float | None
    p99: float | None


class SummaryView(Struct):
    """Jobs by state, and how they fared; `success_rate` of those that succeeded or failed."""

    by_state: dict[str, int]
    total: int
    success_rate: float | None
    wait_ms: Percentiles
    run_ms: Percentiles


def time_or_null(ms: int | None) -> str | None:
    """The same, of a time that may not be known."""
    return None if ms is None else time_of(ms)


def view_of(job: Job) -> JobView:
    """A job as the tables tell it."""
    return JobView(
        id=job.id,
        queue=job.queue,
        type=job.type,
        state=job.state,
        priority=job.priority,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        payload=_value(job.payload),
        result=None if job.result is None else _value(job.result),
        error=_error(job.error, job.failure),
        progress=_progress(job.progress),
        submitted_at=time_of(job.submitted_at),
        run_at=time_or_null(job.run_at),
        started_at=time_or_null(job.started_at),
        finished_at=time_or_null(job.finished_at),
        worker=job.worker,
        tags=job.tags,
        metadata=job.metadata,
        blocked_on=job.blocked_on,
        concurrency_key=job.concurrency_key,
        rate_key=job.rate_key,
        schedule=job.schedule,
        occurrence=time_or_null(job.occurrence),
        flow=job.flow,
        on_parent_failure=job.on_parent_failure,
        fingerprint=job.fingerprint,
        discarded=job.discarded,
        command=job.command,
        erased=job.payload.codec != "json",
        version=job.version,
        position=job.position,
    )


def _progress(progress: Progress | None) -> ProgressView | None:
    if progress is None:
        return None
    return ProgressView(progress.value, progress.message, time_of(progress.at))


def view_of_hot(job: HotJob, partition: str) -> JobView:
    """A live job that no table knows yet: what its hot state tells.

    It was submitted when its id was made, as far as hot state knows. Who runs it, and since when,
    only the log tells, so a job that has just been claimed still shows as queued.
    """
    spec = job.spec
    submitted = int(job.id.replace("-", "")[:12], 16)
    run_at = submitted + (spec.delay_ms or 0) if spec.run_at is None else spec.run_at
    # A retry, a snooze or an operator has set another time since; which, only the log tells.
    moved = job.state in (JobState.RETRYING, JobState.SCHEDULED) and job.version > 1
    waits = job.depends
    return JobView(
        id=job.id,
        queue=partition,
        type=spec.type,
        state=job.state,
        priority=spec.priority,
        attempt=job.attempt,
        max_attempts=spec.max_attempts,
        crashes=job.crashes,
        payload=_value(spec.payload),
        result=None,
        error=None,
        progress=None,
        submitted_at=time_of(submitted),
        run_at=None if moved else time_of(run_at),
        started_at=None,
        finished_at=None,
        worker=None,
        tags=spec.tags,
        metadata=spec.metadata,
        blocked_on=JOBS if waits else None,
        concurrency_key=spec.concurrency_key,
        rate_key=spec.rate_key,
        schedule=spec.schedule,
        occurrence=time_or_null(spec.occurrence),
        flow=spec.flow,
        on_parent_failure=spec.on_parent_failure,
        fingerprint=None,
        discarded=False,
        command=None,
        erased=spec.payload.codec != "json",
        version=job.version,
        position=None,
    )


def event_of(record: Record) -> EventView:
    """An event as it stands in the log."""
    return EventView(
        position=record.position,
        seq=record.seq,
        epoch=record.epoch,
        time=time_of(record.time),
        type=record.type,
        job_id=record.job or None,
        version=record.version,
        body=msgspec.Raw(record.body),
    )


def attempt_of(attempt: Attempt) -> AttemptView:
    """An attempt as the history of the job tells it."""
    return AttemptView(
        number=attempt.number,
        fence=attempt.fence,
        worker=attempt.worker,
        started_at=time_of(attempt.started_at),
        ended_at=time_or_null(attempt.ended_at),
        outcome=attempt.outcome,
        error=_error(attempt.error, None),
        retry_at=time_or_null(attempt.retry_at),
    )


def summary_of(found: Summary) -> SummaryView:
    """Counts and percentiles."""
    return SummaryView(
        by_state={state.value: found.by_state.get(state.value, 0) for state in JobState},
        total=found.total,
        success_rate=found.success_rate,
        wait_ms=Percentiles(found.wait_ms.p50, found.wait_ms.p95, found.wait_ms.p99),
        run_ms=Percentiles(found.run_ms.p50, found.run_ms.p95, found.run_ms.p99),
    )


def _value(data: Data) -> msgspec.Raw:
    # Of a codec this release does not know, only the name may be shown.
    return data.data if data.codec == "json" else NULL


def _error(fault: Fault | None, failure: str | None) -> ErrorView | None:
    if fault is not None:
        return ErrorView(fault.type, fault.message, fault.traceback)
    if failure is not None:
        return ErrorView(failure, FAILURES.get(failure, "the job was given up"), "")
    return None

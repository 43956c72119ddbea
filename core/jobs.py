"""A job's life as a pure state machine: which events may follow which, and what each changes.

    submitted ──▶ scheduled ──▶ queued ◀──▶ blocked (over a limit)
         └──────────────────────▶ │ ◀────────────────┐ released, lease expired, due
                                  ▼                  │
                               running ──▶ retrying ─┘
                                  │  └───▶ scheduled (snoozed)
                                  ▼
                  succeeded / failed / cancelled ──(redriven)──▶ queued

The same function folds live batches, rebuilds tables and checks histories.
"""

import copy
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import msgspec

from . import events as ev
from .codec import Data
from .errors import IllegalTransition


class JobState(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    BLOCKED = "blocked"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
LIVE = frozenset(JobState) - TERMINAL
WAITING = LIVE - {JobState.RUNNING}


class Job(msgspec.Struct):
    """A job as its events tell it. Times are ms since 1970 by the log's clock.

    `ready_at` is when it last became ready to run, so that waiting can be measured; `seq` and
    `epoch` are those of the last event folded in.
    """

    id: str
    queue: str
    type: str = ""
    state: JobState = JobState.QUEUED
    priority: int = 5
    attempt: int = 0
    max_attempts: int = 5
    crashes: int = 0
    payload: Data = Data()
    result: Data | None = None
    error: ev.Fault | None = None
    failure: str | None = None
    submitted_at: int = 0
    run_at: int | None = None
    ready_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    worker: str | None = None
    cancel_requested: bool = False
    tags: list[str] = []
    metadata: dict[str, str] = {}
    blocked_on: str | None = None
    concurrency_key: str | None = None
    rate_key: str | None = None
    schedule: str | None = None
    occurrence: int | None = None
    version: int = 0
    epoch: int = 0
    seq: int = 0

    @property
    def position(self) -> str:
        """Position of the last event folded in."""
        return ev.position(self.queue, self.epoch, self.seq)

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL


ALLOWED: dict[type[ev.Event], frozenset[JobState | None]] = {
    ev.JobSubmitted: frozenset({None}),
    ev.JobQueued: frozenset(LIVE),
    ev.JobBlocked: frozenset({JobState.QUEUED}),
    ev.JobRescheduled: frozenset(WAITING),
    ev.JobReplaced: frozenset(WAITING),
    ev.JobStarted: frozenset({JobState.QUEUED}),
    ev.JobSucceeded: frozenset({JobState.RUNNING}),
    ev.JobAttemptFailed: frozenset({JobState.RUNNING}),
    ev.JobFailed: frozenset(LIVE),
    ev.JobSnoozed: frozenset({JobState.RUNNING}),
    ev.JobReleased: frozenset({JobState.RUNNING}),
    ev.JobLeaseExpired: frozenset({JobState.RUNNING}),
    ev.JobCancelRequested: frozenset({JobState.RUNNING}),
    ev.JobCancelled: frozenset(LIVE),
    ev.JobRedriven: frozenset(TERMINAL),
    ev.JobCheckpointed: frozenset({JobState.RUNNING}),
}
"""Event → the states it may follow; None stands for «no such job yet»."""


def evolve(job: Job | None, record: ev.Record, event: ev.Event) -> Job:
    """The job after one more event; the given one is left as it was.

    Raises IllegalTransition if the event cannot follow the job's state or version.
    """
    if job is None:
        return begin(record, event)
    after = copy.copy(job)
    advance(after, record, event)
    return after


def begin(record: ev.Record, event: ev.Event) -> Job:
    """The job its first event tells of."""
    if type(event) is not ev.JobSubmitted:
        raise IllegalTransition(record.position, record.job, "no state", record.type)
    if record.version != 1:
        raise IllegalTransition(
            record.position, record.job, "version 0", f"version {record.version}"
        )
    job = Job(
        id=record.job,
        queue=record.partition,
        submitted_at=record.time,
        version=1,
        epoch=record.epoch,
        seq=record.seq,
    )
    _specified(job, event, record.time)
    return job


def advance(job: Job, record: ev.Record, event: ev.Event) -> None:
    """Change `job` in place by one event: `evolve` for a fold that owns its jobs.

    Nothing is changed when it raises IllegalTransition.
    """
    kind = type(event)
    if job.state not in ALLOWED.get(kind, ()):
        raise IllegalTransition(record.position, job.id, f"state {job.state.value}", record.type)
    if record.version != job.version + 1:
        raise IllegalTransition(
            record.position, job.id, f"version {job.version}", f"version {record.version}"
        )
    job.blocked_on = None
    _CHANGES[kind](job, event, record.time)
    job.version = record.version
    job.epoch = record.epoch
    job.seq = record.seq


def fold(pairs: Iterable[tuple[ev.Record, ev.Event]]) -> Job | None:
    """The job that a whole history of one job gives; None for an empty one."""
    job: Job | None = None
    for record, event in pairs:
        if job is None:
            job = begin(record, event)
        else:
            advance(job, record, event)
    return job


def _specified(job: Job, event: ev.JobSubmitted, time: int) -> None:
    """What a spec says of a job, at its submission or instead of an earlier spec."""
    run_at = event.run_at if event.delay_ms is None else time + event.delay_ms
    job.type = event.type
    job.attempt = 0
    job.crashes = 0
    job.error = None
    job.state = JobState.QUEUED if run_at is None else JobState.SCHEDULED
    job.priority = event.priority
    job.max_attempts = event.max_attempts
    job.payload = event.payload
    job.run_at = time if run_at is None else run_at
    job.ready_at = time if run_at is None else None
    job.expires_at = event.expires_at
    job.tags = event.tags
    job.metadata = event.metadata
    job.concurrency_key = event.concurrency_key
    job.rate_key = event.rate_key
    job.schedule = event.schedule
    job.occurrence = event.occurrence


def _blocked(job: Job, event: ev.JobBlocked, time: int) -> None:
    job.state = JobState.BLOCKED
    job.blocked_on = event.on


def _rescheduled(job: Job, event: ev.JobRescheduled, time: int) -> None:
    job.state = JobState.SCHEDULED
    job.run_at = event.run_at


def _queued(job: Job, event: ev.JobQueued, time: int) -> None:
    job.state = JobState.QUEUED
    job.ready_at = time


def _started(job: Job, event: ev.JobStarted, time: int) -> None:
    job.state = JobState.RUNNING
    job.attempt = event.attempt
    job.worker = event.worker
    job.started_at = time


def _succeeded(job: Job, event: ev.JobSucceeded, time: int) -> None:
    job.result = event.result
    job.error = None
    _end(job, JobState.SUCCEEDED, time)


def _attempt_failed(job: Job, event: ev.JobAttemptFailed, time: int) -> None:
    # Without a retry the job stays running: the event that ends it follows in the same breath.
    job.error = event.error
    if event.retry_ms is not None:
        job.state = JobState.RETRYING
        job.run_at = time + event.retry_ms


def _failed(job: Job, event: ev.JobFailed, time: int) -> None:
    job.failure = event.reason
    job.error = event.error or job.error
    _end(job, JobState.FAILED, time)


def _snoozed(job: Job, event: ev.JobSnoozed, time: int) -> None:
    job.state = JobState.SCHEDULED
    job.run_at = time + event.delay_ms


def _released(job: Job, event: ev.JobReleased, time: int) -> None:
    if event.delay_ms:
        job.state = JobState.SCHEDULED
        job.run_at = time + event.delay_ms
    else:
        job.state = JobState.QUEUED
        job.ready_at = time


def _lease_expired(job: Job, event: ev.JobLeaseExpired, time: int) -> None:
    job.state = JobState.QUEUED
    job.crashes = event.crashes
    job.ready_at = time


def _cancel_requested(job: Job, event: ev.JobCancelRequested, time: int) -> None:
    job.cancel_requested = True


def _cancelled(job: Job, event: ev.JobCancelled, time: int) -> None:
    _end(job, JobState.CANCELLED, time)


def _redriven(job: Job, event: ev.JobRedriven, time: int) -> None:
    job.state = JobState.QUEUED
    job.attempt = 0
    job.crashes = 0
    job.result = None
    job.error = None
    job.failure = None
    job.finished_at = None
    job.expires_at = None
    job.cancel_requested = False
    job.run_at = time
    job.ready_at = time


def _checkpointed(job: Job, event: ev.JobCheckpointed, time: int) -> None:
    """What a step gave is for the job's later attempts alone; its history tells it."""


def _end(job: Job, state: JobState, time: int) -> None:
    job.state = state
    job.finished_at = time


_CHANGES: dict[type[ev.Event], Callable[[Job, Any, int], None]] = {
    ev.JobQueued: _queued,
    ev.JobBlocked: _blocked,
    ev.JobRescheduled: _rescheduled,
    ev.JobReplaced: _specified,
    ev.JobStarted: _started,
    ev.JobSucceeded: _succeeded,
    ev.JobAttemptFailed: _attempt_failed,
    ev.JobFailed: _failed,
    ev.JobSnoozed: _snoozed,
    ev.JobReleased: _released,
    ev.JobLeaseExpired: _lease_expired,
    ev.JobCancelRequested: _cancel_requested,
    ev.JobCancelled: _cancelled,
    ev.JobRedriven: _redriven,
    ev.JobCheckpointed: _checkpointed,
}

"""What each event changes in a job; whether it may come is not asked here."""

from collections.abc import Callable
from typing import Any

from .. import events as ev
from ..fingerprint import fingerprint_of
from .state import JOBS, Job, JobState, Progress


def specified(job: Job, event: ev.JobSubmitted, time: int) -> None:
    """What a spec says of a job, at its submission or instead of an earlier spec."""
    run_at = event.run_at if event.delay_ms is None else time + event.delay_ms
    job.type = event.type
    job.attempt = 0
    job.crashes = 0
    job.error = None
    job.state = JobState.QUEUED if run_at is None else JobState.SCHEDULED
    job.blocked_on = None
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
    job.on_parent_failure = event.on_parent_failure
    job.flow = event.flow or job.flow
    if event.depends_on or event.open:
        # A delay begins when it waits no more.
        job.state, job.blocked_on = JobState.BLOCKED, JOBS
        job.run_at, job.ready_at = event.run_at, None


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
    job.progress = None


def _succeeded(job: Job, event: ev.JobSucceeded, time: int) -> None:
    job.result = event.result
    job.error = None
    if job.progress is not None:  # its last word may have been too late to be told
        job.progress = Progress(1.0, "", time)
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
    job.fingerprint = fingerprint_of(event.reason, job.error).digest
    _end(job, JobState.FAILED, time)


def _snoozed(job: Job, event: ev.JobSnoozed, time: int) -> None:
    job.state = JobState.SCHEDULED
    job.run_at = time + event.delay_ms


def _released(job: Job, event: ev.JobReleased, time: int) -> None:
    _again(job, event.delay_ms, time)


def _again(job: Job, delay_ms: int, time: int) -> None:
    if delay_ms:
        job.state = JobState.SCHEDULED
        job.run_at = time + delay_ms
    else:
        job.state = JobState.QUEUED
        job.ready_at = time


def _lease_expired(job: Job, event: ev.JobLeaseExpired, time: int) -> None:
    job.crashes = event.crashes
    _again(job, 0, time)


def _crashed(job: Job, event: ev.JobCrashed, time: int) -> None:
    job.crashes = event.crashes
    _again(job, event.delay_ms, time)


def _cancel_requested(job: Job, event: ev.JobCancelRequested, time: int) -> None:
    job.cancel_requested = True


def _cancelled(job: Job, event: ev.JobCancelled, time: int) -> None:
    _end(job, JobState.CANCELLED, time)


def _redriven(job: Job, event: ev.JobRedriven, time: int) -> None:
    job.state = JobState.QUEUED if event.run_at is None else JobState.SCHEDULED
    job.attempt = 0
    job.crashes = 0
    job.fingerprint = None
    job.discarded = False
    job.command = event.command or None
    job.result = None
    job.progress = None
    job.error = None
    job.failure = None
    job.finished_at = None
    job.expires_at = None
    job.cancel_requested = False
    job.run_at = time if event.run_at is None else event.run_at
    job.ready_at = time if event.run_at is None else None


def _discarded(job: Job, event: ev.JobDiscarded, time: int) -> None:
    job.discarded = True


def _checkpointed(job: Job, event: ev.JobCheckpointed, time: int) -> None:
    """What a step gave is for the job's later attempts alone; its history tells it."""


def _progressed(job: Job, event: ev.JobProgressed, time: int) -> None:
    job.progress = Progress(event.value, event.message, time)


def _end(job: Job, state: JobState, time: int) -> None:
    job.state = state
    job.finished_at = time


def _joined(job: Job, event: ev.JobJoined, time: int) -> None:
    job.state = JobState.QUEUED if event.run_at is None else JobState.SCHEDULED
    job.run_at = time if event.run_at is None else event.run_at
    job.ready_at = time if event.run_at is None else None


def _still_blocked(job: Job, event: ev.JobExtended | ev.JobClosed, time: int) -> None:
    job.blocked_on = JOBS


CHANGES: dict[type[ev.Event], Callable[[Job, Any, int], None]] = {
    ev.JobQueued: _queued,
    ev.JobBlocked: _blocked,
    ev.JobRescheduled: _rescheduled,
    ev.JobReplaced: specified,
    ev.JobStarted: _started,
    ev.JobSucceeded: _succeeded,
    ev.JobAttemptFailed: _attempt_failed,
    ev.JobFailed: _failed,
    ev.JobSnoozed: _snoozed,
    ev.JobReleased: _released,
    ev.JobLeaseExpired: _lease_expired,
    ev.JobCrashed: _crashed,
    ev.JobCancelRequested: _cancel_requested,
    ev.JobCancelled: _cancelled,
    ev.JobRedriven: _redriven,
    ev.JobCheckpointed: _checkpointed,
    ev.JobDiscarded: _discarded,
    ev.JobJoined: _joined,
    ev.JobExtended: _still_blocked,
    ev.JobClosed: _still_blocked,
    ev.JobProgressed: _progressed,
}
"""Event → what it does to a job, given the event's body and its time."""

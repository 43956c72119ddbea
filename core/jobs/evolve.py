"""Which events may follow which state, and the fold of a job's events."""

import copy
from collections.abc import Iterable

from .. import events as ev
from ..errors import IllegalTransition
from .changes import CHANGES, specified
from .state import LIVE, TERMINAL, WAITING, Job, JobState

ALLOWED: dict[type[ev.Event], frozenset[JobState | None]] = {
    ev.JobSubmitted: frozenset({None}),
    ev.JobQueued: frozenset(LIVE),
    ev.JobBlocked: frozenset({JobState.QUEUED, JobState.SCHEDULED}),
    ev.JobRescheduled: frozenset(WAITING),
    ev.JobReplaced: frozenset(WAITING),
    ev.JobStarted: frozenset({JobState.QUEUED}),
    ev.JobSucceeded: frozenset({JobState.RUNNING}),
    ev.JobAttemptFailed: frozenset({JobState.RUNNING}),
    ev.JobFailed: frozenset(LIVE),
    ev.JobSnoozed: frozenset({JobState.RUNNING}),
    ev.JobReleased: frozenset({JobState.RUNNING}),
    ev.JobLeaseExpired: frozenset({JobState.RUNNING}),
    ev.JobCrashed: frozenset({JobState.RUNNING}),
    ev.JobCancelRequested: frozenset({JobState.RUNNING}),
    ev.JobCancelled: frozenset(LIVE),
    ev.JobRedriven: frozenset(TERMINAL),
    ev.JobCheckpointed: frozenset({JobState.RUNNING}),
    ev.JobDiscarded: frozenset({JobState.FAILED}),
    ev.JobJoined: frozenset({JobState.BLOCKED}),
    ev.JobExtended: frozenset({JobState.BLOCKED}),
    ev.JobClosed: frozenset({JobState.BLOCKED}),
    ev.JobProgressed: frozenset({JobState.RUNNING}),
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
    specified(job, event, record.time)
    return job


def advance(job: Job, record: ev.Record, event: ev.Event) -> None:
    """Change `job` in place by one event: `evolve` for a fold that owns its jobs.

    Nothing is changed when it raises IllegalTransition.
    """
    kind = type(event)
    if job.state not in ALLOWED.get(kind, ()):
        raise IllegalTransition(record.position, job.id, f"state {job.state.value}", record.type)
    if job.discarded and kind is not ev.JobRedriven:
        raise IllegalTransition(record.position, job.id, "the end, discarded,", record.type)
    if record.version != job.version + 1:
        raise IllegalTransition(
            record.position, job.id, f"version {job.version}", f"version {record.version}"
        )
    job.blocked_on = None
    CHANGES[kind](job, event, record.time)
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

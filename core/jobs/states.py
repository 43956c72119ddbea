"""What one event alone tells of its job's state: for counting jobs without folding each.

An event says in which state it leaves its job, whatever came before; and of most events, only one
state can have come before. Both follow from what `evolve` allows and changes. Of most types the
name is enough, so that their bodies need not be read.
"""

from typing import NamedTuple

from .. import events as ev
from .changes import CHANGES, specified
from .evolve import ALLOWED
from .state import Job, JobState


def state_before(event: ev.Event) -> JobState | None:
    """The state a job was in before `event`; None if it did not exist, or the event does not
    tell."""
    allowed = ALLOWED.get(type(event), frozenset())
    return next(iter(allowed)) if len(allowed) == 1 else None


def state_after(event: ev.Event) -> JobState:
    """The state of a job after `event`, which must be one of a job."""
    job = Job(id="", queue="", state=state_before(event) or JobState.RUNNING)
    if isinstance(event, ev.JobSubmitted):
        specified(job, event, 0)
    else:
        CHANGES[type(event)](job, event, 0)
    return job.state


class Move(NamedTuple):
    """The states a job is in before and after an event; before: None as `state_before` says."""

    before: JobState | None
    after: JobState


def move_of(event: ev.Event) -> Move:
    """What an event does to the state of its job."""
    return Move(state_before(event), state_after(event))


_AFTER: dict[type[ev.Event], JobState] = {
    ev.JobQueued: JobState.QUEUED,
    ev.JobBlocked: JobState.BLOCKED,
    ev.JobRescheduled: JobState.SCHEDULED,
    ev.JobStarted: JobState.RUNNING,
    ev.JobSucceeded: JobState.SUCCEEDED,
    ev.JobFailed: JobState.FAILED,
    ev.JobSnoozed: JobState.SCHEDULED,
    ev.JobLeaseExpired: JobState.QUEUED,
    ev.JobCancelRequested: JobState.RUNNING,
    ev.JobCancelled: JobState.CANCELLED,
    ev.JobCheckpointed: JobState.RUNNING,
    ev.JobDiscarded: JobState.FAILED,
    ev.JobExtended: JobState.BLOCKED,
    ev.JobClosed: JobState.BLOCKED,
    ev.JobProgressed: JobState.RUNNING,
}
"""Where jobs are after events whose types tell; of the others, the body does."""


def _moved(kind: type[ev.Event], after: JobState) -> Move:
    allowed = ALLOWED[kind]
    return Move(next(iter(allowed)) if len(allowed) == 1 else None, after)


MOVES: dict[str, Move] = {kind.name: _moved(kind, after) for kind, after in _AFTER.items()}
"""Type of an event → what it does, where the type alone tells."""

ASK_BODY: frozenset[str] = frozenset(kind.name for kind in ALLOWED.keys() - _AFTER.keys())
"""Types of events of which only the body tells."""

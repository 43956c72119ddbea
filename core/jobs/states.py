"""What one event alone tells of its job's state: for counting jobs without folding each.

An event says in which state it leaves its job, whatever came before; and of most events, only one
state can have come before. Both follow from what `evolve` allows and changes.
"""

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

"""What each event of a job has to tell, once it is applied."""

from collections.abc import Callable
from typing import Any

from .. import events as ev
from ..events import Record
from ..jobs import Job
from . import schedule
from .sentences import at, by, count, fault, short, span
from .story import WORTH_TELLING, Story

FAILURES = {
    "exhausted": "none of its attempts succeeded, and it has none left",
    "non_retryable": "its handler said that trying again is no use",
    "expired": "it had not been started when it expired",
    "poison": "too many workers, or processes of theirs, were lost while they ran it",
    "handler_missing": "no worker had a handler for its type",
    "parent_failed": "a job it depended on did not succeed",
    "parent_missing": "a job it depended on is not there",
}

_SCOPES = {
    "waiting": "while it waits",
    "unfinished": "until it has ended",
    "period": "for the time asked for",
}


def _submitted(story: Story, job: Job, event: ev.JobSubmitted, record: Record) -> None:
    later = event.delay_ms is not None or event.run_at is not None
    when = f"to run at {at(job.run_at)}" if later and job.run_at is not None else "to run at once"
    if event.depends_on or event.open:
        story.blocked = record
        more = " and any that are added" if event.open else ""
        when = f"to run once {count(len(event.depends_on), 'job')}{more} ended as it wants"
    whose = ""
    if event.schedule is not None and event.occurrence is not None:
        whose = f" by schedule {event.schedule} for its occurrence {at(event.occurrence)}"
    story.say("submitted", f"It was submitted at {at(record.time)}{whose}, {when}.", record)
    if event.schedule is not None:
        schedule.tell_firing(story, job.id)
    if event.lock is not None:
        during = _SCOPES.get(event.lock_scope or "unfinished", "for a time")
        story.say(
            "unique",
            f"It is unique: {during}, submissions like it make no job of their own and are "
            "answered with this one. Those that changed nothing are not in the log.",
            record,
        )


def _replaced(story: Story, job: Job, event: ev.JobReplaced, record: Record) -> None:
    text = f"At {at(record.time)} a later submission like it took its place: same id, new spec"
    story.say("replaced", f"{text}, waiting anew.", record)
    story.cause = None


def _queued(story: Story, job: Job, event: ev.JobQueued, record: Record) -> None:
    if event.cause == "group_lost" and isinstance(story.last, ev.JobStarted | ev.JobCheckpointed):
        words = "the consumer group of its queue was lost, and its lease with it"
        story.cause = ("ran_again.lost", words, record)
    elif event.cause == "limit" and story.blocked is not None:
        waited = record.time - story.blocked.time
        text = f"It waited {span(waited)} for a limit, {_limit_of(story.last)}, until"
        story.say("waited.limit", f"{text} {at(record.time)}.", story.blocked, record)
    elif event.cause in ("due", "retry") and job.run_at is not None:
        late = record.time - job.run_at
        if late >= WORTH_TELLING:
            text = f"It was due at {at(job.run_at)}, and made ready {span(late)} later: no worker"
            story.say("waited.late", f"{text} looked at its queue meanwhile.", story.timed, record)


def _limit_of(event: ev.Event | None) -> str:
    return short(event.on) if isinstance(event, ev.JobBlocked) else "which is over"


def _blocked(story: Story, job: Job, event: ev.JobBlocked, record: Record) -> None:
    story.blocked = record


def _joined(story: Story, job: Job, event: ev.JobJoined, record: Record) -> None:
    begun = story.blocked or record
    waited = span(record.time - begun.time)
    text = f"It waited {waited} for other jobs, until {at(record.time)}."
    story.say("waited.jobs", text, story.blocked, record)


def _started(story: Story, job: Job, event: ev.JobStarted, record: Record) -> None:
    if story.ready is not None and record.time - story.ready.time >= WORTH_TELLING:
        _tell_wait(story, story.ready, record)
    if story.cause is not None:
        code, words, cause = story.cause
        text = f"It ran again from {at(record.time)} (attempt {event.attempt}), because {words}."
        story.say(code, text, cause, record)
        story.cause = None
    story.started = record


def _tell_wait(story: Story, ready: Record, started: Record) -> None:
    waited = span(started.time - ready.time)
    text = f"It could run from {at(ready.time)} and was started {waited} later"
    pauses = story.pauses.during(ready.time, started.time)
    for pause in pauses:
        story.say(
            "waited.paused",
            f"{text}: its queue was paused at {at(pause.begun.time)}{by(pause.by)}.",
            ready, pause.begun, pause.until, started,
        )  # fmt: skip
    if not pauses:
        story.say("waited.turn", f"{text}, when a worker had room for it.", ready, started)


def _attempt_failed(story: Story, job: Job, event: ev.JobAttemptFailed, record: Record) -> None:
    story.failed = record
    if event.retry_ms is not None:
        words = f"attempt {job.attempt} had failed ({fault(event.error)})"
        story.cause = ("ran_again.failed", words, record)


def _lease_expired(story: Story, job: Job, event: ev.JobLeaseExpired, record: Record) -> None:
    words = (
        f"worker {short(event.worker)} had not renewed its lease: it died, was cut off or stood "
        f"still (crash {event.crashes} of this job)"
    )
    story.cause = ("ran_again.crashed", words, record)


def _crashed(story: Story, job: Job, event: ev.JobCrashed, record: Record) -> None:
    story.failed = record
    words = (
        f"the process that ran it at worker {short(event.worker)} died: {short(event.cause)} "
        f"(crash {event.crashes} of this job)"
    )
    story.cause = ("ran_again.crashed", words, record)


def _released(story: Story, job: Job, event: ev.JobReleased, record: Record) -> None:
    words = {
        "drain": "the worker that had it was shut down and handed it back",
        "handler_missing": "the worker that had it had no handler for its type",
        "no_process": "the worker that had it had no process to run it in",
    }.get(event.reason, f"it was handed back ({short(event.reason)})")
    story.cause = ("ran_again.released", words, record)


def _snoozed(story: Story, job: Job, event: ev.JobSnoozed, record: Record) -> None:
    words = f"its handler had asked to be called again {span(event.delay_ms)} later"
    story.cause = ("ran_again.snoozed", words, record)


def _redriven(story: Story, job: Job, event: ev.JobRedriven, record: Record) -> None:
    later = "" if event.run_at is None else f", for {at(event.run_at)}"
    story.say("redriven", f"It was run again at {at(record.time)}{by(event)}{later}.", record)
    words = "it was run again by a command after it had ended"
    story.cause = ("ran_again.redriven", words, record)
    story.failed = story.blocked = None


def _rescheduled(story: Story, job: Job, event: ev.JobRescheduled, record: Record) -> None:
    text = f"At {at(record.time)} it was moved to {at(event.run_at)}{by(event)}."
    story.say("rescheduled", text, record)


def _cancel_requested(story: Story, job: Job, event: ev.JobCancelRequested, record: Record) -> None:
    text = f"At {at(record.time)} its worker was asked to stop it{by(event)}."
    story.say("cancel_requested", text, record)


def _cancelled(story: Story, job: Job, event: ev.JobCancelled, record: Record) -> None:
    story.say("cancelled", f"It was cancelled at {at(record.time)}{by(event)}.", record)


def _succeeded(story: Story, job: Job, event: ev.JobSucceeded, record: Record) -> None:
    text = f"It succeeded at {at(record.time)}, in attempt {job.attempt}"
    if story.started is not None:
        text += f", which took {span(record.time - story.started.time)}"
    story.say("succeeded", f"{text}.", story.started, record)


def _failed(story: Story, job: Job, event: ev.JobFailed, record: Record) -> None:
    known = event.reason in FAILURES
    words = FAILURES.get(event.reason, f"the reason is {short(event.reason)!r}")
    tried = f" after {count(job.attempt, 'attempt')}" if job.attempt else ""
    last = "" if job.error is None else f"; the last error was {fault(job.error)}"
    code = f"failed.{event.reason}" if known else "failed.other"
    text = f"It was given up at {at(record.time)}{tried}: {words}{last}."
    story.say(code, text, story.failed, record)


def _discarded(story: Story, job: Job, event: ev.JobDiscarded, record: Record) -> None:
    text = f"At {at(record.time)} it was taken from the dead letters{by(event)}; it stays failed."
    story.say("discarded", text, record)


TELL: dict[type[ev.Event], Callable[[Story, Job, Any, Record], None]] = {
    ev.JobSubmitted: _submitted,
    ev.JobReplaced: _replaced,
    ev.JobQueued: _queued,
    ev.JobBlocked: _blocked,
    ev.JobJoined: _joined,
    ev.JobRescheduled: _rescheduled,
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
    ev.JobDiscarded: _discarded,
}
"""Event → what it tells. One that is not here needs no explanation."""

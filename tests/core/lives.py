"""Jobs of a test as events tell them, and a sample of each event."""

from __future__ import annotations

from millstream.core import events as ev
from millstream.core.codec import wrap
from millstream.core.jobs import (
    Job,
    fold,
)
from tests.strategies import START_MS, job_id, record_of

ID = job_id(1)

FAULT = ev.Fault("ValueError", "no such file")

SAMPLES: list[ev.Event] = [
    ev.JobSubmitted("mail"),
    ev.JobQueued("due"),
    ev.JobStarted(1, "w1"),
    ev.JobSucceeded(),
    ev.JobAttemptFailed(FAULT, 500),
    ev.JobFailed("exhausted"),
    ev.JobSnoozed(500),
    ev.JobReleased("drain"),
    ev.JobLeaseExpired("w1", 1),
    ev.JobCancelRequested("ada"),
    ev.JobCancelled("ada"),
    ev.JobRedriven("ada"),
    ev.WorkerStarted("w1"),
    ev.WorkerStopped("w1"),
    ev.WorkerLost("w1"),
    ev.JobCheckpointed("charge"),
    ev.JobDiscarded("ada"),
    ev.JobCrashed("w1", 1, "killed by SIGSEGV"),
]


def told(*events: ev.Event) -> Job:
    """The job that `events` tell of; event number n happens n seconds after START_MS."""
    job = fold((record_at(n, event), event) for n, event in enumerate(events))
    assert job is not None
    return job


def record_at(number: int, event: ev.Event) -> ev.Record:
    time = START_MS + 1000 * number
    return record_of(event, job=ID, version=number + 1, seq=number + 10, time=time)


DONE = ev.JobSucceeded(wrap(7))

SUBMITTED = ev.JobSubmitted("mail", payload=wrap({"to": "ada"}), priority=3, tags=["a"])

RUNNING = (SUBMITTED, ev.JobStarted(1, "w1"))

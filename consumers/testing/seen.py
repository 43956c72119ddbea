"""What a test sees of a log: jobs as they stand, and what happened to them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from ...core import events as ev
from ...core.jobs import Job, JobState, fold
from ...core.upcast import decode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Happened(NamedTuple):
    """An event: its name (``job.started``), when it was, of which job ('': of none), its body."""

    type: str
    at: datetime
    job: str
    body: ev.Event


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands; fields as the API names them.

    payload, result  the values themselves; result None: none yet, or that
    error     of its last failed attempt
    steps     step → what is kept of it: a result, of a sleep when it ends, of a submission the id
    story     its events in order, without the leading ``job.``
    run_at    when it is to run, if it waits for a time
    depends_on  the jobs it waits for, or waited for
    """

    id: str
    type: str
    queue: str
    state: JobState
    priority: int
    payload: Any
    result: Any
    error: ev.Fault | None
    attempt: int
    max_attempts: int
    crashes: int
    run_at: datetime | None
    blocked_on: str | None
    tags: list[str]
    metadata: dict[str, str]
    depends_on: list[str]
    schedule: str | None
    version: int
    steps: dict[str, Any]
    story: list[str]

    @property
    def ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.state in ("succeeded", "failed", "cancelled")


def happened(records: Iterable[ev.Record]) -> list[Happened]:
    """Records as a test sees them."""
    return [Happened(one.type, moment(one.time), one.job, decode(one)) for one in records]


def snapshot(records: Iterable[ev.Record]) -> Snapshot:
    """A job from all its records."""
    pairs = [(one, decode(one)) for one in records]
    job = fold(pairs)
    assert job is not None
    events = [event for _, event in pairs]
    return Snapshot(
        id=job.id,
        type=job.type,
        queue=job.queue,
        state=job.state,
        priority=job.priority,
        payload=job.payload.decode(),
        result=None if job.result is None else job.result.decode(),
        error=job.error,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        run_at=_waits_until(job),
        blocked_on=job.blocked_on,
        tags=job.tags,
        metadata=job.metadata,
        depends_on=parents_of(events),
        schedule=job.schedule,
        version=job.version,
        steps=steps_of(events),
        story=[one.type.removeprefix("job.") for one, _ in pairs],
    )


def parents_of(events: Iterable[ev.Event]) -> list[str]:
    """The jobs that one waits for, or waited for, by its last spec."""
    specs = [event for event in events if isinstance(event, ev.JobSubmitted | ev.JobReplaced)]
    return specs[-1].depends_on


def steps_of(events: Iterable[ev.Event]) -> dict[str, Any]:
    """What is kept of steps, by name."""
    steps: dict[str, Any] = {}
    for event in events:
        if isinstance(event, ev.JobReplaced | ev.JobRedriven):
            steps.clear()
        elif isinstance(event, ev.JobCheckpointed):
            steps[event.step] = _kept(event)
    return steps


def submitted_by(events: Iterable[Happened]) -> list[str]:
    """Ids of the jobs that a handler submitted."""
    steps = [one.body for one in events if isinstance(one.body, ev.JobCheckpointed)]
    return [step.job_id for step in steps if step.job_id is not None]


def _kept(event: ev.JobCheckpointed) -> Any:
    if event.job_id is not None:
        return event.job_id
    return event.result.decode() if event.wake_at is None else moment(event.wake_at)


def _waits_until(job: Job) -> datetime | None:
    waits = job.state in (JobState.SCHEDULED, JobState.RETRYING)
    return moment(job.run_at) if waits and job.run_at is not None else None


def moment(ms: int) -> datetime:
    """A time in UTC."""
    return EPOCH + timedelta(milliseconds=ms)

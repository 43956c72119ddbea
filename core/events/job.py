"""The events of a job's life."""

import msgspec

from ..codec import Data
from ..retry import Backoff
from .base import Command, Event


class JobSubmitted(Event, frozen=True):
    """A job was accepted. The body is the whole spec; times are ms since 1970, durations ms.

    The first fields are those that the Lua verbs read, by their place before the payload; none of
    them may hold a quote or a backslash.

    concurrency_key, rate_key  the job's share of limits per key; see `limits`
    lock        digest that stands for the job in its queue, while `lock_scope` says so
    lock_scope  waiting, unfinished, or period (`lock_ms` from its submission)
    schedule, occurrence  the schedule that submitted it, and the instant it stands for
    """

    name = "job.submitted"
    type: str
    concurrency_key: str | None = None
    rate_key: str | None = None
    lock: str | None = None
    lock_scope: str | None = None
    lock_ms: int | None = None
    schedule: str | None = None
    occurrence: int | None = None
    payload: Data = Data()
    priority: int = 5
    max_attempts: int = 5
    backoff: Backoff | None = None
    timeout_ms: int | None = None
    delay_ms: int | None = None
    run_at: int | None = None
    expires_at: int | None = None
    tags: list[str] = []
    metadata: dict[str, str] = {}


class JobQueued(Event, frozen=True):
    """A job that waited may run now. `cause`: due, retry, limit, group_lost, restored."""

    name = "job.queued"
    cause: str


class JobBlocked(Event, frozen=True):
    """A job that could run waits for a limit: `on` names it (`concurrency of type email.send`)."""

    name = "job.blocked"
    on: str


class JobRescheduled(Command, frozen=True):
    """A waiting job has another time to run (ms since 1970)."""

    name = "job.rescheduled"
    run_at: int = 0


class JobReplaced(JobSubmitted, frozen=True):
    """A waiting job was given another spec, the one in the body, by a later submission."""

    name = "job.replaced"


class JobStarted(Event, frozen=True):
    """A worker was given the job. The version of this event is the lease's fencing token."""

    name = "job.started"
    attempt: int
    worker: str


class JobSucceeded(Event, frozen=True):
    """The handler returned."""

    name = "job.succeeded"
    result: Data = Data()


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong in an attempt; the traceback is trimmed."""

    type: str
    message: str
    traceback: str = ""


class JobAttemptFailed(Event, frozen=True):
    """An attempt failed. With `retry_ms` the job runs again that long after this event."""

    name = "job.attempt_failed"
    error: Fault
    retry_ms: int | None = None


class JobFailed(Event, frozen=True):
    """Given up. `reason`: exhausted, non_retryable, expired, poison, handler_missing."""

    name = "job.failed"
    reason: str
    error: Fault | None = None


class JobSnoozed(Event, frozen=True):
    """The handler asked to be called again later; that costs no attempt."""

    name = "job.snoozed"
    delay_ms: int


class JobReleased(Event, frozen=True):
    """A worker handed the job back unfinished; that costs no attempt.

    `reason`: drain, handler_missing, restored.
    """

    name = "job.released"
    reason: str
    delay_ms: int = 0


class JobLeaseExpired(Event, frozen=True):
    """The worker did not renew its lease in time: the job is queued again, one crash richer."""

    name = "job.lease_expired"
    worker: str
    crashes: int


class JobCancelRequested(Command, frozen=True):
    """Somebody wants a running job to stop."""

    name = "job.cancel_requested"


class JobCancelled(Command, frozen=True):
    """The job will not run (any more)."""

    name = "job.cancelled"


class JobRedriven(Command, frozen=True):
    """A job that had ended is to run again, with fresh attempts: at once, or at `run_at`.

    `command`: of the action on many jobs that did it, so that all of them can be found.
    """

    name = "job.redriven"
    run_at: int | None = None
    command: str = ""


class JobCheckpointed(Event, frozen=True):
    """A step of a running job is done and will not be done again, whatever becomes of the attempt.

    result   what the step gave
    wake_at  of a sleep: when it ends (ms since 1970)
    job_id   of a submission: the job that was submitted
    """

    name = "job.checkpointed"
    step: str
    result: Data = Data()
    wake_at: int | None = None
    job_id: str | None = None


class JobDiscarded(Command, frozen=True):
    """A failed job is of no more interest: it stays failed, but is no dead letter any more."""

    name = "job.discarded"
    command: str = ""

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
    on_parent_failure  of a job that waits for others: fail, cancel, run, wait
    flow        id of the flow it is part of
    depends_on  ids of the jobs it waits for
    open        there may be more of those to come
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
    on_parent_failure: str | None = None
    flow: str | None = None
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
    depends_on: list[str] = []
    open: bool = False


class JobQueued(Event, frozen=True):
    """A job that waited may run now. `cause`: due, retry, limit, group_lost, restored."""

    name = "job.queued"
    cause: str


class JobBlocked(Event, frozen=True):
    """A job waits for a limit: `on` names it (`concurrency of type email.send`). Or for other jobs
    (`jobs`), as it did before it was rescheduled."""

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
    """A worker was given the job. Its version and epoch are the lease's fencing token."""

    name = "job.started"
    attempt: int
    worker: str


class JobSucceeded(Event, frozen=True):
    """The handler returned."""

    name = "job.succeeded"
    result: Data = Data()


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong in an attempt; the traceback is trimmed.

    encrypted  of a job with a subject: message and traceback, which are empty then; `sealed` in the
               log
    """

    type: str
    message: str
    traceback: str = ""
    encrypted: Data | None = msgspec.field(default=None, name="sealed")


class JobAttemptFailed(Event, frozen=True):
    """An attempt failed. With `retry_ms` the job runs again that long after this event."""

    name = "job.attempt_failed"
    error: Fault
    retry_ms: int | None = None


class JobFailed(Event, frozen=True):
    """Given up. `reason`: exhausted, non_retryable, expired, poison, handler_missing,
    parent_failed, parent_missing; `parent`: of the last two, the job it depended on."""

    name = "job.failed"
    reason: str
    error: Fault | None = None
    parent: str | None = None


class JobSnoozed(Event, frozen=True):
    """The handler asked to be called again later; that costs no attempt."""

    name = "job.snoozed"
    delay_ms: int


class JobReleased(Event, frozen=True):
    """A worker handed the job back unfinished; that costs no attempt.

    `reason`: drain, handler_missing, no_process (none was free for it, or could be started),
    stalled (of a worker whose event loop another job blocked), restored.
    """

    name = "job.released"
    reason: str
    delay_ms: int = 0


class JobLeaseExpired(Event, frozen=True):
    """The worker did not renew its lease in time: the job is queued again, one crash richer."""

    name = "job.lease_expired"
    worker: str
    crashes: int


class JobCrashed(Event, frozen=True):
    """The process that ran the job alone died: the job runs again, one crash richer.

    `cause`: how it died (`killed by SIGSEGV`, `exited with 3`). `delay_ms`: the wait from now on.
    """

    name = "job.crashed"
    worker: str
    crashes: int
    cause: str
    delay_ms: int = 0


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


class JobProgressed(Event, frozen=True):
    """How far a running job has come, from 0 to 1, and what its handler says of it."""

    name = "job.progressed"
    value: float
    message: str = ""


class JobDiscarded(Command, frozen=True):
    """A failed job is of no more interest: it stays failed, but is no dead letter any more."""

    name = "job.discarded"
    command: str = ""


class JobJoined(Event, frozen=True):
    """The jobs it waited for have ended as it wants them to: it may run, or waits for `run_at`."""

    name = "job.joined"
    run_at: int | None = None


class JobExtended(Event, frozen=True):
    """A job that was submitted open waits for these jobs too."""

    name = "job.extended"
    parents: list[str]


class JobClosed(Command, frozen=True):
    """A job that was submitted open waits for no more jobs than it does now."""

    name = "job.closed"

"""The events: facts in the past tense, each with a stable name that never changes.

An event's struct is the body alone. Who, where and when (partition, seq, epoch, job, version,
time) is the envelope, `Record`, since the log gives those and nobody else can.
"""

from typing import Any, ClassVar

import msgspec

from .codec import Data
from .retry import Backoff


class Event(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=False):
    """Base of all event bodies. `name` is the event's type in the log."""

    name: ClassVar[str]
    schema: ClassVar[int] = 1


class Command(Event, frozen=True):
    """An event that somebody caused by a command: who, and why."""

    actor: str = ""
    reason: str = ""


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
    """A job that waited may run now. `cause`: due, retry, limit, group_lost."""

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

    `reason`: drain, handler_missing.
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
    """A job that had ended is to run again, with fresh attempts."""

    name = "job.redriven"


class QueuePaused(Command, frozen=True):
    """Nothing of the queue is given to workers any more; it takes jobs all the same."""

    name = "queue.paused"


class QueueDraining(Command, frozen=True):
    """The queue takes no jobs any more; what it has is run."""

    name = "queue.draining"


class QueueResumed(Command, frozen=True):
    """The queue takes jobs and gives them to workers again."""

    name = "queue.resumed"


class QueueConfigured(Command, frozen=True):
    """Settings of the queue were changed: `settings` holds those that changed, null: taken away."""

    name = "queue.configured"
    settings: dict[str, Any] = {}


class QueuePurged(Command, frozen=True):
    """Waiting jobs of the queue were cancelled, all in one command; each has its own event."""

    name = "queue.purged"
    count: int = 0


class ScheduleCreated(Command, frozen=True):
    """A schedule was made. `spec`: as the API takes it; `digest`: of the declaration it is from."""

    name = "schedule.created"
    schedule: str = ""
    spec: dict[str, Any] = {}
    digest: str = ""


class ScheduleUpdated(ScheduleCreated, frozen=True):
    """A schedule was changed to what `spec` says."""

    name = "schedule.updated"


class SchedulePaused(Command, frozen=True):
    """A schedule fires no more until it is resumed."""

    name = "schedule.paused"
    schedule: str = ""


class ScheduleResumed(SchedulePaused, frozen=True):
    """A paused schedule fires again, from its next occurrence on."""

    name = "schedule.resumed"


class ScheduleDeleted(SchedulePaused, frozen=True):
    """A schedule is gone; the jobs it submitted stay."""

    name = "schedule.deleted"


class ScheduleFired(Event, frozen=True):
    """An occurrence (ms since 1970) became a job. `cause`: due, catch_up, manual, backfill.

    Of the last two, `actor` and `reason` tell who wanted it and why.
    """

    name = "schedule.fired"
    schedule: str
    occurrence: int
    job_id: str
    cause: str = "due"
    actor: str = ""
    reason: str = ""


class ScheduleSkipped(Event, frozen=True):
    """`count` occurrences from `occurrence` to `last` became no job.

    `reason`: overlap, missed, buffered.
    """

    name = "schedule.skipped"
    schedule: str
    occurrence: int
    reason: str
    count: int = 1
    last: int | None = None


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


class WorkerStarted(Event, frozen=True):
    """A worker process began to serve this queue."""

    name = "worker.started"
    worker: str
    types: list[str] = []


class WorkerStopped(Event, frozen=True):
    """A worker process left this queue in good order."""

    name = "worker.stopped"
    worker: str


KINDS: dict[str, type[Event]] = {
    kind.name: kind
    for kind in (
        JobSubmitted,
        JobQueued,
        JobBlocked,
        JobRescheduled,
        JobReplaced,
        JobStarted,
        JobSucceeded,
        JobAttemptFailed,
        JobFailed,
        JobSnoozed,
        JobReleased,
        JobLeaseExpired,
        JobCancelRequested,
        JobCancelled,
        JobRedriven,
        QueuePaused,
        QueueDraining,
        QueueResumed,
        QueueConfigured,
        QueuePurged,
        ScheduleCreated,
        ScheduleUpdated,
        SchedulePaused,
        ScheduleResumed,
        ScheduleDeleted,
        ScheduleFired,
        ScheduleSkipped,
        WorkerStarted,
        WorkerStopped,
        JobCheckpointed,
    )
}
"""Every event there is, by name."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a log: the envelope, and the body as the bytes that were written.

    seq      contiguous per partition, from 1
    epoch    of the partition's log; rises when a log is restored after a loss
    job      job id, or "" for events of the queue itself and of workers
    version  contiguous per job, from 1; 0 where there is no job
    time     ms since 1970 by the server's clock: the stream id's first part
    entry    the stream id
    """

    partition: str
    seq: int
    epoch: int
    type: str
    job: str
    version: int
    body: bytes
    time: int
    entry: str

    @property
    def position(self) -> str:
        """Where in all logs this event stands: ``partition:epoch:seq``."""
        return position(self.partition, self.epoch, self.seq)


def position(partition: str, epoch: int, seq: int) -> str:
    """Write a position; opaque to clients."""
    return f"{partition}:{epoch}:{seq}"


def parse_position(text: str) -> tuple[str, int, int]:
    """Read a position: partition, epoch, seq. Raises ValueError."""
    try:
        partition, epoch, seq = text.split(":")
        return partition, int(epoch), int(seq)
    except ValueError:
        raise ValueError(f"expected a position such as 'default:1:42', got {text!r}") from None


def body_of(event: Event) -> bytes:
    """Encode an event's body for the log; from schema 2 on it says which it is, in ``_v``."""
    body = msgspec.json.encode(event)
    if event.schema > 1:
        mark = b'{"_v":%d' % event.schema
        return mark + b"}" if body == b"{}" else mark + b"," + body[1:]
    return body

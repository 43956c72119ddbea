"""Where a job is in its life, and all that its events tell of it."""

from enum import StrEnum

import msgspec

from .. import events as ev
from ..codec import Data


class JobState(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    BLOCKED = "blocked"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
LIVE = frozenset(JobState) - TERMINAL
WAITING = LIVE - {JobState.RUNNING}


JOBS = "jobs"
"""What a job is blocked on that waits for others."""


class Progress(msgspec.Struct, frozen=True):
    """How far a job has come, from 0 to 1, as its handler told it at a time (ms since 1970)."""

    value: float
    message: str
    at: int


class Job(msgspec.Struct):
    """A job as its events tell it. Times are ms since 1970 by the log's clock.

    `ready_at` is when it last became ready to run, so that waiting can be measured; `seq` and
    `epoch` are those of the last event folded in.

    fingerprint  of a failed job: stands for all that failed alike
    discarded    it failed, and is no dead letter any more
    command      the action on many jobs that ran it again
    flow         the flow it is part of
    progress     what its last attempt told of it; see `Progress`
    """

    id: str
    queue: str
    type: str = ""
    state: JobState = JobState.QUEUED
    priority: int = 5
    attempt: int = 0
    max_attempts: int = 5
    crashes: int = 0
    payload: Data = Data()
    result: Data | None = None
    error: ev.Fault | None = None
    failure: str | None = None
    submitted_at: int = 0
    run_at: int | None = None
    ready_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    worker: str | None = None
    cancel_requested: bool = False
    tags: list[str] = []
    metadata: dict[str, str] = {}
    blocked_on: str | None = None
    concurrency_key: str | None = None
    rate_key: str | None = None
    schedule: str | None = None
    occurrence: int | None = None
    on_parent_failure: str | None = None
    flow: str | None = None
    fingerprint: str | None = None
    discarded: bool = False
    command: str | None = None
    progress: Progress | None = None
    version: int = 0
    epoch: int = 0
    seq: int = 0

    @property
    def position(self) -> str:
        """Position of the last event folded in."""
        return ev.position(self.queue, self.epoch, self.seq)

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL

"""What a handler may know about the job it runs."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from ..core.events import JobSubmitted
from ..core.hot import Lease

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context:
    """Given to every handler as its first argument. Made once per attempt; valid during it."""

    __slots__ = ("_lease", "_logger", "_spec", "cancelled", "deadline")

    cancelled: bool
    """Whether the attempt is to stop (cancelled, timed out, lease lost, worker draining). An async
    handler is interrupted; one in a thread should look here from time to time and return."""

    deadline: float | None
    """When the attempt times out, on the clock of `time.monotonic()`; None: never."""

    def __init__(self, lease: Lease, spec: JobSubmitted) -> None:
        self._lease = lease
        self._spec = spec
        self._logger: Any = None
        self.cancelled = False
        self.deadline = None

    @property
    def job_id(self) -> str:
        """The job's id (UUIDv7)."""
        return self._lease.id

    @property
    def type(self) -> str:
        """The job's type: the name the handler was registered under."""
        return self._spec.type

    @property
    def queue(self) -> str:
        """The queue the job came from."""
        return self._lease.partition

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._lease.attempt

    @property
    def max_attempts(self) -> int:
        """How many attempts the job has in all."""
        return self._spec.max_attempts

    @property
    def crashes(self) -> int:
        """How often a worker was lost while it ran this job."""
        return self._lease.crashes

    @property
    def fence(self) -> int:
        """The fencing token: higher for every later lease of this job.

        Hand it to systems you write to, so that they can refuse a worker that was overtaken.
        """
        return self._lease.fence

    @property
    def tags(self) -> list[str]:
        """Tags given at submission."""
        return self._spec.tags

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata given at submission."""
        return self._spec.metadata

    @property
    def schedule(self) -> str | None:
        """Name of the schedule that submitted the job; None: somebody did."""
        return self._spec.schedule

    @property
    def occurrence(self) -> datetime | None:
        """The instant (UTC) that the schedule's job stands for, however late it runs."""
        at = self._spec.occurrence
        return None if at is None else EPOCH + timedelta(milliseconds=at)

    @property
    def remaining(self) -> float | None:
        """Seconds until the attempt times out, at least 0; None: no timeout."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())

    @property
    def logger(self) -> Any:
        """A structlog logger that names the job in every line."""
        if self._logger is None:
            self._logger = structlog.stdlib.get_logger("millstream.job").bind(
                job=self.job_id, type=self.type, attempt=self.attempt
            )
        return self._logger

    def __repr__(self) -> str:
        return f"<Context of {self.type} job {self.job_id}, attempt {self.attempt}>"

"""What a handler may know about the job it runs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

import structlog

from ..core.events import JobSubmitted
from ..core.hot import Lease
from .errors import StepError

if TYPE_CHECKING:
    from .blocking import Blocking
    from .steps import Steps
    from .submissions import Options

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Context:
    """Given to every handler as its first argument. Made once per attempt; valid during it."""

    __slots__ = ("_lease", "_logger", "_make_steps", "_spec", "_steps", "cancelled", "deadline")

    cancelled: bool
    """Whether the attempt is to stop (cancelled, timed out, lease lost, worker draining). An async
    handler is interrupted; one in a thread should look here from time to time and return."""

    deadline: float | None
    """When the attempt times out, on the clock of `time.monotonic()`; None: never."""

    def __init__(
        self, lease: Lease, spec: JobSubmitted, make_steps: Callable[[], Steps] | None = None
    ) -> None:
        self._lease = lease
        self._spec = spec
        self._make_steps = make_steps
        self._steps: Steps | None = None
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

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        returns: type[T],
        **kwargs: Any,
    ) -> Awaitable[T]: ...

    @overload
    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Awaitable[Any]: ...

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Awaitable[Any]:
        """Call `function` once in the life of this job: its result is kept, and given again.

        An async function runs on the event loop, a plain one in a thread. Its result is what its
        JSON says, read as `returns`, in the first attempt as in later ones. Raises what it raises;
        then nothing is kept. Raises StepError for a rule that is broken, see docs/steps.md.
        """
        steps = self._awaited("step")
        steps.check_function(name, function)
        call = steps.step(name, partial(function, *args, **kwargs), returns)
        return steps.called("step", name, call)

    def sleep(
        self,
        seconds: float | timedelta | None = None,
        *,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
        until: datetime | None = None,
        name: str | None = None,
    ) -> Awaitable[None]:
        """Sleep without holding the worker: the handler ends here, and is called again then.

        Until then the job is scheduled; that costs no attempt. `name`: by default by its place
        among the sleeps of the handler.
        """
        length = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
        steps = self._awaited("sleep")
        return steps.called("sleep", name, steps.sleep(length, until, name))

    def submit(
        self,
        type: str,
        payload: Any = None,
        /,
        *,
        name: str | None = None,
        **options: Unpack[Options],
    ) -> Awaitable[str]:
        """Submit a further job, once in the life of this one; its id. Options as the API has them.

        `name`: by default by its place among the submissions of the handler.
        """
        steps = self._awaited("submit")
        return steps.called("submit", name, steps.submit(type, payload, options, name))

    def progress(self, done: float, total: float = 1.0, *, message: str = "") -> None:
        """Tell how far the job has come: `done` of `total`; `message` is for people.

        Never waits, and may be called as often as one likes, also from threads: the latest word is
        told, at most once a second. Raises ProgressError for what is out of range or too long.
        """
        self._begun().progress(done, total, message)

    @property
    def sync(self) -> Blocking:
        """`step`, `sleep` and `submit` for a handler that is a plain function."""
        steps = self._begun()
        return steps.durable.blocking(steps)

    @property
    def reached(self) -> Steps | None:
        """The steps of this attempt, once its handler has come to any."""
        return self._steps

    def _begun(self) -> Steps:
        if self._steps is None:
            if self._make_steps is None:
                raise RuntimeError("expected a job that a worker runs: there are no steps here")
            self._steps = self._make_steps()
        return self._steps

    def _awaited(self, what: str) -> Steps:
        steps = self._begun()
        if not steps.durable.on_loop:
            given = "a handler that runs in a thread"
            raise StepError(f"ctx.{what}", f"an async handler (or ctx.sync.{what})", given)
        return steps

    def __repr__(self) -> str:
        return f"<Context of {self.type} job {self.job_id}, attempt {self.attempt}>"

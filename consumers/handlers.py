"""Handlers and the registry that knows them by job type."""

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

import msgspec

from ..core.errors import InvalidName
from ..core.keys import check_job_type, check_queue
from ..core.retry import MAX_ATTEMPTS, Backoff
from ..core.schedules import Schedule
from .declared import declared
from .errors import HandlerError
from .signatures import Signature, read_signature
from .verdicts import Verdict

Function = TypeVar("Function", bound=Callable[..., Any])
Exceptions = tuple[type[BaseException], ...]
Executor = Literal["loop", "thread", "process"]


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """A function that runs the jobs of one type, and the defaults of those jobs.

    function      (context, payload) → result; a coroutine function if `is_async`
    max_attempts  default for jobs submitted without their own
    backoff       for jobs without their own; None: the general one
    timeout       seconds an attempt may take, for jobs without their own; None: no bound
    non_retryable  exceptions after which no other attempt is made
    decode        payload bytes → payload
    where         file and line, for people
    schedule      when such jobs are submitted by themselves
    executor      where it runs: on the event loop, in a thread, or in a process
    """

    type: str
    queue: str
    function: Callable[..., Any]
    is_async: bool
    payload_type: Any
    result_type: Any
    max_attempts: int
    backoff: Backoff | None
    timeout: float | None
    decode: Callable[[msgspec.Raw], Any]
    where: str
    schedule: Schedule | None = None
    non_retryable: Exceptions = ()
    executor: Executor = "loop"

    def announcement(self) -> dict[str, Any]:
        """What whoever submits such jobs should know (JSON values; durations in seconds)."""
        told: dict[str, Any] = {"queue": self.queue, "max_attempts": self.max_attempts}
        told["executor"] = self.executor
        if self.backoff is not None:
            told["backoff"] = msgspec.to_builtins(self.backoff)
        if self.timeout is not None:
            told["timeout"] = self.timeout
        for name, kind in (("payload", self.payload_type), ("result", self.result_type)):
            if kind is not Any:
                told[f"{name}_schema"] = msgspec.json.schema(kind)
        return told


class Registry:
    """The handlers of one worker, at most one per job type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def job(
        self,
        type: str,
        *,
        queue: str = "default",
        max_attempts: int = 5,
        backoff: Backoff | None = None,
        timeout: float | None = None,
        non_retryable: Sequence[type[BaseException]] = (),
        executor: Executor | None = None,
        cron: str | None = None,
        every: float | None = None,
        timezone: str = "UTC",
        schedule: Mapping[str, Any] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for jobs of `type`; the function itself is unchanged.

        It takes (ctx, payload): what msgspec can decode into payload's annotation is accepted,
        everything else fails the job at once. An `async def` runs on the event loop, a plain
        function in a thread; with `executor="process"` either runs in a process of its own.
        Exceptions of the kinds in `non_retryable` fail the job at once, as `Fail` does. With `cron`
        (in `timezone`) or `every` (seconds) such jobs are submitted by themselves; `schedule` says
        more, in the words of the API. Raises HandlerError.
        """
        scope = sys._getframe(1).f_locals  # annotations may name what is local to the caller

        def register(function: Function) -> Function:
            signature = read_signature(type, function, scope)
            options = _checked(type, queue, max_attempts, timeout)
            options["backoff"] = _backoff(type, backoff)
            options["non_retryable"] = _exceptions(type, non_retryable)
            options["executor"] = _executor(type, function, executor)
            times = {"cron": cron, "every": every, "timezone": timezone}
            planned = declared(type, queue, max_attempts, times, schedule)
            self.add(_handler(type, function, signature, schedule=planned, **options))
            return function

        return register

    def add(self, handler: Handler) -> None:
        """Add a handler. Raises HandlerError if its type has one already."""
        known = self._handlers.get(handler.type)
        if known is not None:
            raise HandlerError(
                handler.type,
                "one handler per job type",
                f"a second one at {handler.where}; the first is at {known.where}",
            )
        self._handlers[handler.type] = handler

    def get(self, type: str) -> Handler | None:
        """The handler of a job type, if there is one."""
        return self._handlers.get(type)

    @property
    def queues(self) -> set[str]:
        """The queues that handlers name."""
        return {handler.queue for handler in self}

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)

    def __contains__(self, type: object) -> bool:
        return type in self._handlers


default = Registry()
"""The registry behind the plain `job` decorator."""

job = default.job


def _checked(type: str, queue: str, max_attempts: int, timeout: float | None) -> dict[str, Any]:
    try:
        check_job_type(type)
        check_queue(queue)
    except InvalidName as error:
        raise HandlerError(type, f"a valid name ({error.expected})", repr(error.given)) from None
    if not isinstance(max_attempts, int) or not 1 <= max_attempts <= MAX_ATTEMPTS:
        raise HandlerError(type, f"max_attempts from 1 to {MAX_ATTEMPTS}", repr(max_attempts))
    if timeout is not None and not (_is_number(timeout) and 0 < timeout <= 366 * 86400):
        expected = "a timeout of more than 0 seconds, at most 366 days"
        raise HandlerError(type, expected, repr(timeout))
    return {"queue": queue, "max_attempts": max_attempts, "timeout": timeout}


def _is_number(given: object) -> bool:
    return isinstance(given, int | float)


def _backoff(type: str, given: object) -> Backoff | None:
    """A mistake here would otherwise show when the first attempt has failed."""
    if given is not None and not isinstance(given, Backoff):
        raise HandlerError(type, "a Backoff, such as Backoff('fixed', delay=5)", repr(given))
    return given


def _executor(type: str, function: Any, given: Executor | None) -> Executor:
    """Where a handler runs: where it says, if it can; else where it must."""
    own: Executor = "loop" if inspect.iscoroutinefunction(function) else "thread"
    if given is None or given == own or given == "process":
        return given or own
    if given not in get_args(Executor):
        raise HandlerError(type, "executor loop, thread or process", repr(given))
    can = "an async def" if given == "loop" else "a plain function"
    raise HandlerError(type, f"{can} for executor={given!r}", f"executor {own!r} by its kind")


def _exceptions(type: str, given: Any) -> Exceptions:
    kinds = tuple(given) if isinstance(given, tuple | list) else (given,)
    for kind in kinds:
        if not isinstance(kind, builtins.type) or not issubclass(kind, BaseException):
            raise HandlerError(type, "classes of exceptions in non_retryable", repr(kind))
        if issubclass(kind, Verdict):
            raise HandlerError(type, "no verdict in non_retryable", kind.__name__)
    return kinds


def _handler(type: str, function: Any, signature: Signature, **options: Any) -> Handler:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Handler(
        type=type,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        payload_type=signature.payload,
        result_type=signature.result,
        decode=msgspec.json.Decoder(signature.payload).decode,
        where=f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function),
        **options,
    )

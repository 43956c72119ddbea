"""Runs one lease: resolve → decode → run → verdict, each step one function over the attempt.

A step that already knows what becomes of the job returns the verdict, and the rest is left out.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import msgspec
import structlog

from ..core.encryption import CODEC
from ..core.events import Fault
from ..core.queue import Finish
from . import outcomes
from .attempts import Attempt, Stop
from .context import Context
from .durable import Durable
from .faults import MAX_MESSAGE, bounded
from .handlers import Handler, Registry
from .opening import Shut
from .outcomes import MAX_RESULT
from .processes import Processes
from .processes.deadlines import Deadline
from .stats import Stats
from .threads import Threads

_log = structlog.stdlib.get_logger("millstream.worker")

STUBBORN = 5.0
"""Seconds an interrupted handler has for its cleanup before the verdict goes without it."""

Deliver = Callable[[Attempt, Finish], None]


class Executor:
    """Runs attempts with the handlers of a registry, and delivers one verdict each."""

    def __init__(
        self,
        registry: Registry,
        deliver: Deliver,
        threads: Threads,
        stats: Stats,
        handler_missing_after: float,
        durable: Durable | None = None,
        processes: Processes | None = None,
        max_result_bytes: int = MAX_RESULT,
        elsewhere: Callable[[str], bool | None] | None = None,
    ) -> None:
        self._registry = registry
        self._deliver = deliver
        self._threads = threads
        self._stats = stats
        self._handler_missing_after = handler_missing_after
        self._durable = durable
        self._processes = processes if processes is not None and processes.available else None
        self._max_result_bytes = max_result_bytes
        self._elsewhere = elsewhere

    async def execute(self, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        """Run an attempt, in `task`, to its verdict. Never raises for what a job can do wrong."""
        if attempt.settled:
            return
        try:
            finish = self.resolve(attempt)
            if finish is None:
                if attempt.apart:
                    finish = await self.isolate(attempt, task)
                else:
                    finish = (
                        await self.decrypt(attempt)
                        or self.decode(attempt)
                        or await self.run(attempt, task)
                    )
        except GeneratorExit:
            raise
        except BaseException as error:
            _log.error("an attempt could not be run", job=attempt.lease.id, exc_info=error)
            finish = outcomes.broken(attempt, error)
        self._settle(attempt, finish)
        # It knows the attempt: without this the two would hold each other until the next garbage
        # collection, which costs a third of a small job.
        attempt.context = None

    def resolve(self, attempt: Attempt) -> Finish | None:
        """Read the spec and find the handler."""
        if attempt.stop is not None:
            return outcomes.stopped(attempt, None)
        try:
            spec = attempt.spec = attempt.lease.decode()
        except msgspec.MsgspecError as error:
            # A later release wrote it: a worker of that release may be there, or come.
            return self._not_mine(attempt, f"this release cannot read the job: {error}")
        handler = attempt.handler = self._registry.get(spec.type)
        if handler is None:
            return self._not_mine(
                attempt, f"no worker of this queue has a handler for {spec.type!r}"
            )
        if attempt.lease.crashes or handler.executor == "process":
            attempt.apart = self._processes is not None
        return None

    async def decrypt(self, attempt: Attempt) -> Finish | None:
        """Open a payload that is encrypted for a subject."""
        spec, durable = attempt.spec, self._durable
        assert spec is not None
        if spec.payload.codec != CODEC or durable is None:
            return None
        try:
            attempt.key, payload = await durable.opener.open(spec.payload)
        except Shut as error:
            if error.for_good:
                return outcomes.hopeless(attempt, Fault("Erased", str(error)))
            return self._not_mine(attempt, str(error))
        attempt.spec = msgspec.structs.replace(spec, payload=payload)
        return None

    def decode(self, attempt: Attempt) -> Finish | None:
        """Read the payload as what the handler takes."""
        spec, handler = attempt.spec, attempt.handler
        assert spec is not None
        assert handler is not None
        try:
            if spec.payload.codec != "json":
                raise ValueError(f"expected codec 'json', got {spec.payload.codec!r}")
            attempt.payload = handler.decode(spec.payload.data)
        except Exception as error:  # of msgspec, or of a type's own __post_init__
            message = bounded(str(error), MAX_MESSAGE)
            return outcomes.hopeless(attempt, Fault("InvalidPayload", message))
        durable = self._durable
        make_steps = None if durable is None else partial(durable.steps, attempt)
        attempt.context = Context(attempt.lease, spec, make_steps)
        return None

    async def run(self, attempt: Attempt, task: "asyncio.Task[None]") -> Finish:
        """Call the handler, on the loop or in a thread, and judge what came of it."""
        handler, context, spec = attempt.handler, attempt.context, attempt.spec
        assert handler is not None
        assert context is not None
        assert spec is not None
        timeout = handler.timeout if spec.timeout_ms is None else spec.timeout_ms / 1000
        if not handler.is_async:
            return await self._run_in_thread(attempt, handler, context, timeout)
        timer = None
        if timeout is not None:
            context.deadline = time.monotonic() + timeout
            timer = self.watch(attempt, timeout)
        attempt.task = task
        try:
            value = await handler.function(context, attempt.payload)
        except GeneratorExit:
            raise
        except BaseException as error:  # also SystemExit: a handler must not end the worker
            if attempt.stop is not None:
                return outcomes.stopped(attempt, timeout)
            return outcomes.raised(attempt, error)
        finally:
            attempt.task = None
            if timer is not None:
                timer.cancel()
        if attempt.stop is not None:
            return outcomes.stopped(attempt, timeout)
        return outcomes.returned(attempt, value, self._max_result_bytes)

    async def isolate(self, attempt: Attempt, task: "asyncio.Task[None]") -> Finish:
        """Have a process of its own decode the payload, call the handler and judge."""
        assert self._processes is not None
        timeout = _timeout_of(attempt)
        deadlines: list[Deadline] = []

        def begun() -> None:
            if timeout is not None:
                deadlines.append(Deadline(timeout, partial(self.stop, attempt, Stop.TIMEOUT)))

        attempt.task = task
        try:
            finish = await self._processes.run(attempt, begun)
        except asyncio.CancelledError as error:
            finish = outcomes.raised(attempt, error)
        finally:
            attempt.task = None
            for deadline in deadlines:
                deadline.cancel()
        return finish if attempt.stop is None else outcomes.stopped(attempt, timeout)

    def stop(self, attempt: Attempt, why: Stop) -> None:
        """Have an attempt end: an async handler is interrupted, one in a thread is told.

        The verdict on a thread that is timed out or drained goes at once: the thread keeps its
        slot until it returns, and what it returns is dropped.
        """
        if attempt.settled or attempt.ended:
            return
        if attempt.stop is None or why is Stop.LOST:
            attempt.stop = why
        if attempt.context is not None:
            attempt.context.cancelled = True
        if why is Stop.LOST:
            attempt.settled = True
            self._stats.lost += 1
        if attempt.task is not None:
            attempt.task.cancel()
            asyncio.get_running_loop().call_later(STUBBORN, self.settle_stopped, attempt)
        elif attempt.in_thread and why is not Stop.CANCEL:
            self.settle_stopped(attempt)

    def settle_stopped(self, attempt: Attempt) -> None:
        """Give the verdict of a stopped attempt without waiting for its handler."""
        if not attempt.settled:
            self._settle(attempt, outcomes.stopped(attempt, _timeout_of(attempt)))

    async def _run_in_thread(
        self, attempt: Attempt, handler: Handler, context: Context, timeout: float | None
    ) -> Finish:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        variables = copy_context()
        timers: list[asyncio.TimerHandle | None] = []

        def begin() -> None:
            if timeout is not None and not outcome.done():
                timers.append(self.watch(attempt, timeout))

        def call() -> None:
            if timeout is not None:  # the clock starts with the thread, not in its queue
                context.deadline = time.monotonic() + timeout
                _from_thread(loop, begin)
            value, error = None, None
            try:
                if attempt.stop is None:  # it may have been stopped while it waited for a thread
                    value = variables.run(handler.function, context, attempt.payload)
            except BaseException as raised:  # also SystemExit, as on the loop
                error = raised
            attempt.ended = True
            _from_thread(loop, _set, outcome, (value, error))

        attempt.in_thread = True
        self._threads.call(call)
        value, error = await outcome
        for timer in timers:
            if timer is not None:
                timer.cancel()
        if attempt.stop is not None:
            return outcomes.stopped(attempt, timeout)
        return self._judge(attempt, value, error)

    def watch(self, attempt: Attempt, timeout: float) -> asyncio.TimerHandle | None:
        """Stop an attempt after that many seconds."""
        return asyncio.get_running_loop().call_later(timeout, self.stop, attempt, Stop.TIMEOUT)

    def _judge(self, attempt: Attempt, value: Any, error: BaseException | None) -> Finish:
        """The verdict on what a function in a thread returned or raised."""
        if error is not None:
            return outcomes.raised(attempt, error)
        if inspect.iscoroutine(value):
            value.close()
            message = "the handler returned a coroutine: declare it with async def"
            return outcomes.hopeless(attempt, Fault("InvalidResult", message))
        return outcomes.returned(attempt, value, self._max_result_bytes)

    def _not_mine(self, attempt: Attempt, fault: str) -> Finish:
        elsewhere = False
        if self._elsewhere is not None and attempt.spec is not None:
            elsewhere = self._elsewhere(attempt.spec.type)
        return outcomes.not_mine(attempt, fault, self._handler_missing_after, elsewhere)

    def _settle(self, attempt: Attempt, finish: Finish) -> None:
        if not attempt.settled:
            attempt.settled = True
            self._deliver(attempt, finish)


def _timeout_of(attempt: Attempt) -> float | None:
    if attempt.spec is not None and attempt.spec.timeout_ms is not None:
        return attempt.spec.timeout_ms / 1000
    return attempt.handler.timeout if attempt.handler else None


def _from_thread(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any
) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return  # the loop was closed: the worker has given this thread up


def _set(outcome: "asyncio.Future[Any]", value: Any) -> None:
    if not outcome.done():
        outcome.set_result(value)

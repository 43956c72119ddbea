"""Steps for handlers that run in a thread: the same words, without await."""

import asyncio
import concurrent.futures
import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar, Unpack, overload

from .errors import LeaseLost, StepError
from .steps import Steps
from .submissions import Options

T = TypeVar("T")


class Blocking:
    """`ctx.sync` of a plain function. Each call waits in the thread until it is done."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Steps) -> None:
        if steps.durable.on_loop:
            raise StepError("ctx.sync", "a handler in a thread (await ctx.… instead)", "async def")
        self._steps = steps

    @overload
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        returns: type[T],
        **kwargs: Any,
    ) -> T: ...

    @overload
    def step(
        self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any: ...

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = Any,
        **kwargs: Any,
    ) -> Any:
        """As `Context.step`; `function` runs in the handler's own thread."""
        steps = self._steps
        steps.check_function(name, function)
        kept = self._wait(steps.begin(name))
        if kept is not None:
            return steps.result_of(kept, returns)
        with steps.attempted(name):
            value = function(*args, **kwargs)
            if inspect.iscoroutine(value):
                value = self._wait(value)
        return self._wait(steps.end(name, value, returns))

    def sleep(
        self,
        seconds: float | timedelta | None = None,
        *,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
        until: datetime | None = None,
        name: str | None = None,
    ) -> None:
        """As `Context.sleep`."""
        length = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
        self._wait(self._steps.sleep(length, until, name))

    def submit(
        self,
        type: str,
        payload: Any = None,
        /,
        *,
        name: str | None = None,
        **options: Unpack[Options],
    ) -> str:
        """As `Context.submit`."""
        return self._wait(self._steps.submit(type, payload, options, name))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        waiting = asyncio.run_coroutine_threadsafe(call, self._steps.durable.loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError:
            # The worker is closing: nobody will hear of what this thread does.
            raise LeaseLost(self._steps.job_id, "ctx.sync") from None

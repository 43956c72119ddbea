"""What a worker lends to the steps of its jobs: recorders, threads, and the way of new jobs."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from ..core.config import Settings
from ..core.encryption import Secrets
from ..core.queue import Directory, PartitionQueue
from .attempts import Attempt
from .blocking import Blocking
from .handlers import Registry
from .opening import Opener
from .progress import ProgressTeller
from .recorder import Recorder, Told
from .steps import Steps
from .submissions import Submissions
from .threads import Threads


class Durable:
    """One per worker. What jobs without steps need of it is nothing."""

    def __init__(
        self, directory: Directory, registry: Registry, settings: Settings, told: Told
    ) -> None:
        self.submissions = Submissions(directory, registry, settings)
        secrets = Secrets.of(settings.erasure_secret, settings.erasure_old_secret)
        self.opener = Opener(secrets, directory.subject_keys)
        self.max_bytes = settings.max_step_bytes
        self._directory = directory
        self._told = told
        self.progress = ProgressTeller(directory.queue, told)
        self._threads = Threads(settings.concurrency)
        self._recorders: dict[str, Recorder] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def start(self) -> None:
        """Note the loop that handlers run on: this one."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.progress.start()

    async def stop(self) -> None:
        """Stop at once: what was not kept by now is lost."""
        for recorder in self._recorders.values():
            await recorder.stop()
        await self.progress.stop()
        self._threads.stop()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the worker."""
        assert self._loop is not None
        return self._loop

    @property
    def on_loop(self) -> bool:
        """Whether who asks runs on that loop, and not in a thread beside it."""
        return threading.get_ident() == self._thread

    def steps(self, attempt: Attempt) -> Steps:
        """The steps of an attempt."""
        return Steps(attempt, self)

    def blocking(self, steps: Steps) -> Blocking:
        """The same for a handler in a thread."""
        return Blocking(steps)

    def queue(self, partition: str) -> PartitionQueue:
        """The verbs of a partition."""
        return self._directory.queue(partition)

    def recorder(self, partition: str) -> Recorder:
        """The recorder of a partition."""
        found = self._recorders.get(partition)
        if found is None:
            queue = self._directory.queue(partition)
            found = self._recorders[partition] = Recorder(queue, self._told)
        return found

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call a function as a handler would be: on the loop if it is async, else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function()
        value = await self._in_thread(function)
        return await value if inspect.isawaitable(value) else value

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()
        variables = copy_context()

        def run() -> None:
            try:
                told = partial(_set_result, outcome, variables.run(function))
            except BaseException as error:  # also SystemExit, as of a handler
                told = partial(_set_exception, outcome, error)
            try:
                loop.call_soon_threadsafe(told)
            except RuntimeError:
                return  # the loop was closed: the worker has given this thread up

        self._threads.call(run)
        return await outcome


def _set_result(outcome: "asyncio.Future[Any]", value: Any) -> None:
    if not outcome.done():
        outcome.set_result(value)


def _set_exception(outcome: "asyncio.Future[Any]", error: BaseException) -> None:
    if not outcome.done():
        # A future takes no StopIteration.
        outcome.set_exception(
            RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
        )

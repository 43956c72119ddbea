"""The program of a process that runs jobs: `python -m millstream.consumers.processes.program`.

It is told everything over its stdin, and answers over its stdout; what handlers print goes to
stderr. Jobs run in it as in a worker, on the loop or in a thread, but one at a time. It reaches
Redis by itself, and only for steps; the verdict goes to the worker, which holds the lease.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import uvloop

from ...core import logs
from ...core.config import Settings
from ...core.connection import connect
from ...core.errors import MillstreamError
from ...core.keys import Keys
from ...core.queue import Directory, Finish
from .. import outcomes
from ..attempts import Attempt, Stop
from ..durable import Durable
from ..executor import Executor
from ..faults import bounded
from ..handlers import Registry
from ..leases import TO_CANCEL
from ..loading import load_apps
from ..memory import resident
from ..runners import Runners
from ..slots import Slots
from ..stats import Stats
from ..threads import Threads
from .deathwatch import die_with, end_all
from .messages import (
    Begun,
    Ended,
    Frames,
    Halt,
    Hello,
    Ready,
    Run,
    ToChild,
    ToWorker,
    Unfit,
    framed,
    to_child,
)

LEAVE = 2.0
"""Seconds an idle process has to end by itself when its worker hangs up."""

CHUNK = 2**16

Answer = Callable[[ToWorker], None]


def main() -> None:
    """Run jobs until the worker hangs up, or dies."""
    requests, answers = _claim_pipes()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # They are for the worker, which drains. No SIG_IGN: programs that handlers start would
        # inherit that.
        signal.signal(number, lambda *_: None)
    messages = _read(requests)
    hello = next(messages, None)
    if not isinstance(hello, Hello):
        return
    die_with(hello.worker)

    def answer(message: ToWorker) -> None:
        _write(answers, framed(message))

    sys.path[:] = hello.path
    settings = hello.settings
    logs.configure(settings.log_level, settings.log_format, role="process")
    try:
        registry = load_apps(hello.apps)
    except MillstreamError as error:
        answer(Unfit(bounded(str(error), 2000)))
        return
    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    uvloop.run(_serve(settings, registry, messages, answer))


async def _serve(
    settings: Settings, registry: Registry, messages: Iterator[ToChild], answer: Answer
) -> None:
    place = Place(settings, registry, answer)
    hung_up = asyncio.Event()
    reader = threading.Thread(
        target=_follow,
        args=(messages, place, hung_up, asyncio.get_running_loop()),
        name="worker",
        daemon=True,
    )
    reader.start()
    answer(Ready())
    await hung_up.wait()
    await place.close()


class Place:
    """Where one job at a time runs."""

    def __init__(self, settings: Settings, registry: Registry, answer: Answer) -> None:
        self._answer = answer
        self._measures = settings.process_max_memory > 0
        self._redis = connect(settings.redis_url, timeout=settings.command_timeout)
        directory = Directory(self._redis, Keys(settings.namespace))
        self._durable = Durable(directory, registry, settings, self._told)
        self._durable.start()
        self._threads = Threads(1)
        self._slots = Slots(1)
        self._executor = _Unhurried(
            registry, self._deliver, self._threads, Stats(), settings.handler_missing_after,
            self._durable, max_result_bytes=settings.max_result_bytes,
        )  # fmt: skip
        self._runners = Runners(self._slots, self._execute)
        self._finish: Finish | None = None
        self.attempt: Attempt | None = None

    def run(self, job: Run) -> None:
        """Run a job to its verdict."""
        attempt = self.attempt = Attempt(job.lease, time.monotonic())
        self._finish = None
        self._slots.take([attempt])
        self._runners.put([attempt])

    def halt(self) -> None:
        """Interrupt the handler, or tell it: the worker knows why, and what follows."""
        if self.attempt is not None:
            self._executor.stop(self.attempt, Stop.CANCEL)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._runners.stop()
        await self._durable.stop()
        self._threads.stop()
        await self._redis.aclose()

    async def _execute(self, attempt: Attempt, task: "asyncio.Task[None]") -> None:
        # Here, and not where it is read: a process that dies of what came before, even while the
        # answer to that is written, has not begun this one.
        self._answer(Begun())
        await self._executor.execute(attempt, task)
        # One whose lease was lost has no verdict; what the worker is told then is refused.
        finish = self._finish or outcomes.stopped(attempt, None)
        self._slots.settle([attempt])
        self.attempt = None
        memory = resident() if self._measures else 0
        self._answer(Ended(finish.verdict, finish.body, finish.delay_ms, finish.end, memory))

    def _deliver(self, attempt: Attempt, finish: Finish) -> None:
        self._finish = finish

    def _told(self, news: list[tuple[Attempt, int]]) -> None:
        for attempt, reply in news:
            self._executor.stop(attempt, Stop.CANCEL if reply == TO_CANCEL else Stop.LOST)


class _Unhurried(Executor):
    """Leaves the clock to the worker, which can also end a handler that does not listen."""

    def watch(self, attempt: Attempt, timeout: float) -> None:
        """Nothing: the handler knows its deadline, and the worker sees to it."""


def _claim_pipes() -> tuple[int, int]:
    """Our own descriptors of the pipes. Handlers find nothing on stdin, and print to stderr."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _read(descriptor: int) -> Iterator[ToChild]:
    """The messages of the worker, until it hangs up."""
    frames = Frames()
    while data := os.read(descriptor, CHUNK):
        yield from map(to_child, frames.feed(data))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except BrokenPipeError:
        end_all()  # nobody waits for the answer


def _follow(
    messages: Iterator[ToChild],
    place: Place,
    hung_up: asyncio.Event,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Hand on what the worker says, in a thread: also while a handler blocks the loop."""
    for message in messages:
        match message:
            case Run():
                loop.call_soon_threadsafe(place.run, message)
            case Halt():
                loop.call_soon_threadsafe(place.halt)
            case Hello():
                break
    if place.attempt is None:
        loop.call_soon_threadsafe(hung_up.set)
        time.sleep(LEAVE)
    end_all()


if __name__ == "__main__":
    main()

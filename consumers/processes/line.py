"""The worker's end of the pipes to one process, and the watch on its death."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from typing import Any

import msgspec
import structlog

from .messages import Frames, ToChild, ToWorker, framed, to_worker

_log = structlog.stdlib.get_logger("millstream.worker")

LINGER = 1.0
"""Seconds between the end of a pipe and that of the process, or the other way round: what it wrote
last is still read, and what closed its pipe and lives on is killed."""


class Line(asyncio.SubprocessProtocol):
    """Messages to and from one process; `receive` by one task at a time.

    The end of the process ends its whole group: programs that a handler started go with it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._messages: deque[ToWorker] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._piped = True
        self._exited = False
        self.over = asyncio.Event()
        """Nothing more will come, and the process has ended."""

    @property
    def pid(self) -> int:
        """The process, which is also its process group."""
        return self._transport.get_pid()

    @property
    def cause(self) -> str:
        """How the process ended, in words."""
        code = self._transport.get_returncode()
        if code is None:
            return "is still there"
        if code >= 0:
            return f"exited with {code}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"

    def send(self, message: ToChild) -> None:
        """Send a message; one that cannot be heard any more is lost."""
        pipe = self._transport.get_pipe_transport(0)
        if pipe is None or pipe.is_closing():
            return
        with contextlib.suppress(RuntimeError):  # of uvloop: it was closed in this very moment
            pipe.write(framed(message))

    def hang_up(self) -> None:
        """Close the pipe to the process: one that has nothing to do ends."""
        pipe = self._transport.get_pipe_transport(0)
        if pipe is not None:
            pipe.close()

    async def receive(self) -> ToWorker | None:
        """The next message; None: the process has ended."""
        while not self._messages:
            if self.over.is_set():
                return None
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._messages.popleft()

    def kill(self) -> None:
        """End the process and its group at once."""
        if not self._exited:
            self._kill_group()
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()  # it may have left its group

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It runs."""
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It said something."""
        try:
            self._messages.extend(map(to_worker, self._frames.feed(data)))
        except msgspec.MsgspecError as error:
            _log.error("a process said what cannot be understood", pid=self.pid, error=str(error))
            self.kill()
            return
        self._wake()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """It closed a pipe, or has ended."""
        if fd == 1:
            self._piped = False
            if self._exited:
                self._finish()
            else:
                self._loop.call_later(LINGER, self.kill)

    def process_exited(self) -> None:
        """It has ended; what it wrote before may still be in the pipe."""
        self._kill_group()
        self._exited = True
        if self._piped:
            self._loop.call_later(LINGER, self._finish)
        else:
            self._finish()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _finish(self) -> None:
        if not self.over.is_set():
            self.over.set()
            self._transport.close()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

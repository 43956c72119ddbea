"""One role process below `millstream up`: started, heard when ready, stopped, never orphaned."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from ..core.ready import LIFELINE_FD, NOTIFY_FD

_GATHER_SECONDS = 5.0  # what a role needs beyond its grace to close its connections


class Lifeline:
    """A pipe nobody writes to: its end tells the children that we are gone, even by SIGKILL."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


class Child:
    """`millstream ARGUMENTS` as a process of its own, in its own group."""

    def __init__(self, name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name = name
        self._arguments = tuple(arguments)
        self._environ = dict(environ)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, lifeline: Lifeline) -> bool:
        """Run it and wait for its word. False when it ended without having been ready."""
        notice, word = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "millstream.cli",
                *self._arguments,
                env={
                    **self._environ,
                    NOTIFY_FD: str(word),
                    LIFELINE_FD: str(lifeline.reader),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr,  # our stdout carries the `ready` line and nothing of theirs
                pass_fds=(word, lifeline.reader),
                start_new_session=True,  # Ctrl-C reaches us alone; we drain them in order
            )
        except BaseException:
            os.close(notice)
            raise
        finally:
            os.close(word)
        return await _hear(notice)

    async def wait(self) -> int:
        """Its exit code, once it ends; below zero the signal that ended it."""
        assert self._process is not None
        return await self._process.wait()

    async def drain(self, grace: float) -> None:
        """SIGTERM, and SIGKILL for what is left when its grace is long over."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace + _GATHER_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        self.kill()  # of its group: processes that its handlers left behind

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


async def _hear(descriptor: int) -> bool:
    """Read the pipe up to `ready`, or up to its end, which comes when the process dies."""
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
    )
    try:
        return (await stream.readline()).strip() == b"ready"
    finally:
        transport.close()

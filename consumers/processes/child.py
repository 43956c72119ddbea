"""The worker's face of one process."""

import asyncio
import os
import sys
from collections.abc import Callable

from ...core.hot import Lease
from ...core.ready import LIFELINE_FD, NOTIFY_FD
from .deadlines import Deadline
from .line import Line
from .messages import Begun, Ended, Halt, Hello, Ready, Run, Unfit

START_SECONDS = 60.0
"""Seconds a process has to load the apps."""

BEGIN_SECONDS = 10.0
"""Seconds a process has to begin with a job: what an earlier one left running may hold it up."""

MERCY = 2.0
"""Seconds a handler that is to stop has for its cleanup before its process is killed."""

LEAVE = 5.0
"""Seconds a process that is not needed any more has to end by itself."""

_NOT_INHERITED = (NOTIFY_FD, LIFELINE_FD)


class CannotStart(Exception):
    """No process could be started; says why."""


class Died(Exception):
    """The process ended; `begun`: while it ran the job, which may be why."""

    def __init__(self, cause: str, *, begun: bool) -> None:
        super().__init__(cause)
        self.begun = begun


class Child:
    """A process with the handlers loaded.

    runs    jobs it was given
    memory  resident bytes after the last one, 0 if not measured
    spent   it is not to be given another job: one was interrupted in it, or it has died
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self.runs = 0
        self.memory = 0
        self.spent = False

    @classmethod
    async def start(cls, hello: Hello) -> "Child":
        """A new process. Raises CannotStart, or Died if it was killed before it was ready."""
        try:
            child = cls(await _spawned())
        except (OSError, ValueError) as error:
            raise CannotStart(str(error)) from error
        try:
            async with asyncio.timeout(START_SECONDS):
                await child._load(hello)
        except TimeoutError:
            child.kill()
            raise CannotStart(f"it was not ready in {START_SECONDS:g} s") from None
        except BaseException:
            child.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return not self._line.over.is_set()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._line.pid

    async def run(self, lease: Lease, begun: Callable[[], object]) -> Ended:
        """Run a job; calls `begun` when its handler is about to. Raises Died.

        When the caller is cancelled the handler is told to stop, and soon the process is killed;
        when it is cancelled once more, at once.
        """
        self.runs += 1
        self._line.send(Run(lease))
        has_begun = False
        late = Deadline(BEGIN_SECONDS, self._line.kill)
        try:
            while (message := await self._line.receive()) is not None:
                if isinstance(message, Ended):
                    self.memory = message.memory
                    return message
                has_begun = True
                late.cancel()
                begun()
        except BaseException:
            self.spent = True
            await self._end_soon()
            raise
        finally:
            late.cancel()
        self.spent = True
        raise Died(self._line.cause, begun=has_begun)

    def kill(self) -> None:
        """End the process now."""
        self.spent = True
        self._line.kill()

    def dismiss(self) -> None:
        """Let an idle process end."""
        self.spent = True
        self._line.hang_up()
        asyncio.get_running_loop().call_later(LEAVE, self._line.kill)

    async def gone(self) -> None:
        """Return when the process has ended."""
        await self._line.over.wait()

    async def _load(self, hello: Hello) -> None:
        self._line.send(hello)
        match await self._line.receive():
            case Ready():
                return
            case Unfit(why):
                raise CannotStart(why)
            case None:
                raise Died(self._line.cause, begun=False)
            case other:
                raise CannotStart(f"expected it to be ready, got {other!r}")

    async def _end_soon(self) -> None:
        self._line.send(Halt())
        try:
            async with asyncio.timeout(MERCY):
                while isinstance(await self._line.receive(), Begun):
                    pass
        except TimeoutError:
            pass
        finally:
            self._line.kill()


async def _spawned() -> Line:
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    # -P: else a folder here that is called as a module of Python's own would stand for it.
    _, line = await asyncio.get_running_loop().subprocess_exec(
        Line,
        sys.executable,
        "-P",
        "-m",
        f"{__package__}.program",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        env=environ,
        start_new_session=True,  # a Ctrl-C is for the worker, which drains; and one kill ends all
    )
    return line

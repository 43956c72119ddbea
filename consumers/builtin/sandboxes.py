"""A few sandbox processes, kept warm and lent to one query at a time."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec

_PROGRAM = Path(__file__).with_name("sandbox.py")
_START_SECONDS = 30.0
_STOP_MARGIN = 1.0  # DuckDB interrupts itself at the bound; this long after it the kernel does
_NEEDED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one query may take: bytes of memory, seconds, rows and bytes of its answer."""

    memory: int = 256 * 2**20
    seconds: float = 30.0
    rows: int = 10_000
    bytes: int = 2**20


class _Refusal(msgspec.Struct):
    """The answer of a sandbox that gave no table; empty for one that did."""

    kind: str = ""
    error: str = ""


class SandboxError(Exception):
    """A query was refused or stopped; `kind`: sql, memory, time, crash."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Sandboxes:
    """At most `most` processes over one data folder; more queries wait their turn."""

    def __init__(self, folder: Path, limits: Limits, most: int | None = None) -> None:
        self.folder = folder.resolve()
        self.limits = limits
        self._free = asyncio.Semaphore(most or os.cpu_count() or 1)
        self._idle: list[asyncio.subprocess.Process] = []

    async def ask(self, request: dict[str, Any]) -> bytes:
        """The answer (JSON) to one request. Raises SandboxError.

        Cancelling the caller kills the process: nothing goes on that nobody waits for.
        """
        async with self._free, self._lent() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(msgspec.json.encode(request) + b"\n")
                async with asyncio.timeout(self.limits.seconds + _STOP_MARGIN):
                    line = await process.stdout.readline()
            except TimeoutError:
                seconds = self.limits.seconds
                raise SandboxError(
                    "time", f"the query took longer than the {seconds:g} s allowed"
                ) from None
            except OSError:
                line = b""
            if not line.endswith(b"\n"):
                raise SandboxError(
                    "crash", f"the query ended its process (status {await process.wait()}), "
                    "most likely by using more memory than allowed"
                )  # fmt: skip
            refusal = msgspec.json.decode(line, type=_Refusal)
            if refusal.error:
                raise SandboxError(refusal.kind, refusal.error)
            return line

    async def close(self) -> None:
        """End the processes that wait for work."""
        while self._idle:
            await _kill(self._idle.pop())

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        idle = [process for process in self._idle if process.returncode is None]
        process = idle.pop() if idle else None
        self._idle = idle
        if process is None:
            process = await self._start()
        try:
            yield process
        except SandboxError as error:
            if error.kind != "sql":
                await _kill(process)  # its memory is not worth trusting
            else:
                self._idle.append(process)
            raise
        except BaseException:
            await _kill(process)
            raise
        self._idle.append(process)

    async def _start(self) -> asyncio.subprocess.Process:
        limits = self.limits
        settings = {"folder": str(self.folder), **msgspec.to_builtins(limits)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # else this folder's `email` would stand for Python's own
            str(_PROGRAM),
            msgspec.json.encode(settings).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
            limit=2 * limits.bytes + 2**16,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await process.stdout.readline()
        except BaseException:
            await _kill(process)
            raise
        if ready != b"ready\n":
            await _kill(process)
            raise RuntimeError(f"the sandbox did not start in {self.folder}")
        return process


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.shield(process.wait())

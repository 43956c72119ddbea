"""What clients asked for and were told, in memory and in a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.audits.operations import Operation, Phase


class Diary:
    """Written as it happens: each line is there before the next thing is asked for."""

    def __init__(self, file: Path) -> None:
        self.lines: list[Operation] = []
        self.unexpected: list[str] = []
        """Answers that a sound system gives to nobody who asks for what is right."""
        self._file = file.open("ab", buffering=0)
        self._next = 0

    def begin(self, what: str, jobs: Sequence[str] = (), *, keyed: bool = False) -> Operation:
        """A new operation, invoked."""
        self._next += 1
        operation = Operation(self._next, what, "invoked", jobs, keyed=keyed)
        self._write(operation)
        return operation

    def told(
        self,
        operation: Operation,
        phase: Phase,
        jobs: Sequence[str] | None = None,
        count: int = 0,
        detail: str = "",
    ) -> None:
        """How it ended, or that nobody knows."""
        jobs = operation.jobs if jobs is None else jobs
        self._write(
            msgspec.structs.replace(operation, phase=phase, jobs=jobs, count=count, detail=detail)
        )

    def close(self) -> None:
        """Close the file; the lines stay."""
        self._file.close()

    def _write(self, line: Operation) -> None:
        line = msgspec.structs.replace(line, time=time.time())
        self.lines.append(line)
        self._file.write(msgspec.json.encode(line) + b"\n")

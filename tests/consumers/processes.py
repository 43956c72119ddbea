"""Worker processes of a test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from millstream.core.config import as_environ
from millstream.core.ready import NOTIFY_FD

from .conftest import Bench, until
from .process_app import Task

EXPIRES_SOON: dict[str, Any] = {"lease": 2.5, "sweep": 0.1}
"""For workers that take over from one that is gone; whoever is only slow must keep its leases."""

RUN = """
from millstream.core import logs
logs.configure()
from millstream.core.config import load
from millstream.consumers.service import serve
raise SystemExit(serve(load(), [{!r}]))
"""


class Workers:
    """Worker processes of one test with the handlers of `app`; all are ended after it."""

    def __init__(self, bench: Bench, folder: Path, app: str) -> None:
        self.bench = bench
        self.app = app
        self.notes = folder / "notes"
        self.go = folder / "go"
        self.task = Task(str(self.notes), str(self.go))
        self.processes: list[subprocess.Popen[bytes]] = []

    async def start(
        self, *, ready: bool = True, app: str = "", **settings: object
    ) -> subprocess.Popen[bytes]:
        notice, word = os.pipe()
        given = {"lease": 30.0, "sweep": 0.1, "grace": 0.5} | settings
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MILLSTREAM_")}
        environ |= as_environ(self.bench.settings(**given)) | {NOTIFY_FD: str(word)}
        process = subprocess.Popen(  # noqa: ASYNC220 (quick, and the test waits for it)
            [sys.executable, "-c", RUN.format(app or self.app)],
            env=environ, pass_fds=(word,), stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(word)
        self.processes.append(process)
        with os.fdopen(notice, "rb") as pipe:
            if ready:
                async with asyncio.timeout(60):
                    assert await asyncio.to_thread(pipe.readline) == b"ready\n"
        return process

    async def submit(self, type: str, **spec: object) -> str:
        return await self.bench.submit(type, self.task, **spec)

    def begun(self) -> list[list[int]]:
        """Per start of a handler: pid, attempt, crashes, fence."""
        if not self.notes.exists():
            return []
        lines = self.notes.read_text().splitlines()
        return [[int(number) for number in line.split()] for line in lines]

    async def until_begun(self, count: int = 1, seconds: float = 60) -> list[list[int]]:
        await until(lambda: len(self.begun()) >= count, seconds)
        return self.begun()

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


async def exit_code(process: subprocess.Popen[bytes], seconds: float = 60) -> int:
    return await asyncio.to_thread(process.wait, seconds)

"""API, projector and worker as real processes, for tests that talk to them from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from millstream.core import config
from millstream.core.config import Settings


@contextmanager
def running(settings: Settings, folder: Path, *apps: str) -> Generator[None]:
    """All three roles, ready; drained at the end. Logs go to `folder`."""
    environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
    environ |= config.as_environ(settings)
    app_options = [part for app in apps for part in ("--app", app)]
    with ExitStack() as stack:
        for role in (["api"], ["projector"], ["worker", *app_options, "--queue", "*"]):
            stack.enter_context(_role(role, environ, folder / f"{role[0]}.log"))
        yield


@contextmanager
def _role(arguments: list[str], environ: Mapping[str, str], log: Path) -> Generator[None]:
    notice, word = os.pipe()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "millstream.cli", *arguments],
            env={**environ, "MILLSTREAM_NOTIFY_FD": str(word)},
            pass_fds=[word],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    os.close(word)
    try:
        with os.fdopen(notice, "rb") as ready:
            assert ready.readline() == b"ready\n", log.read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

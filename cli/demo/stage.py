"""`millstream up` as a process of its own, and the data set for it to work on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from ...core.errors import MillstreamError
from .plan import DATA_FILE

_APPS = ("millstream.consumers.builtin.data", "millstream.consumers.builtin.email")
_STOP_SECONDS = 60.0


class DemoError(MillstreamError):
    """The demo could not run at all."""


@contextlib.contextmanager
def everything(folder: Path, smtp_port: int) -> Generator[str]:
    """The address of an API behind which all runs; stopped in good order at the end.

    Settings of the caller are left out: the demo must not work in anybody's real queues.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "millstream.cli", "up", "--port", "0",
                "--data", str(folder), *(part for app in _APPS for part in ("--app", app)),
            ],
            env=_environ(smtp_port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the demo, which then stops this in order
        )  # fmt: skip
    try:
        yield _await_ready(process, log)
    finally:
        _stop(process)


def data_folder() -> Path:
    """Where the data set lies: beside this file in a wheel, with the examples in a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.with_name("data"), here.parents[2] / "examples" / "data"):
        if (folder / DATA_FILE).is_file():
            return folder
    raise DemoError(f"expected {DATA_FILE} beside {here.parent}, found none")


def _environ(smtp_port: int) -> dict[str, str]:
    environ = {
        name: text for name, text in os.environ.items() if not name.startswith("MILLSTREAM_")
    }
    return environ | {
        "MILLSTREAM_DATA_DIR": str(data_folder()),
        "MILLSTREAM_SMTP_HOST": "127.0.0.1",
        "MILLSTREAM_SMTP_PORT": str(smtp_port),
        "MILLSTREAM_SMTP_FROM": "demo@example.org",
        "MILLSTREAM_SWEEP": "0.25",
        "MILLSTREAM_GRACE": "3",  # nothing here runs for long
    }


def _await_ready(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    word, _, url = line.strip().partition(" ")
    if word != "ready":
        raise DemoError(f"`millstream up` did not start:\n{log.read_text()[-4000:]}")
    return url


def _stop(process: subprocess.Popen[str]) -> None:
    """Drain it; kill what does not end (its roles follow it, the next command ends its servers)."""
    if process.poll() is None:
        process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()

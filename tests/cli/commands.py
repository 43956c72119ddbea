"""The command line as a user runs it: a process for each command, beside all roles."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from millstream.core import config
from millstream.core.config import Settings

HANDLERS = Path(__file__).parents[2] / "examples" / "handlers.py"


class Commands:
    """Runs `millstream …` with the settings of the roles."""

    def __init__(self, settings: Settings) -> None:
        self.url = f"http://127.0.0.1:{settings.port}"
        environ = {key: value for key, value in os.environ.items() if "MILLSTREAM" not in key}
        self.environ = environ | config.as_environ(settings) | {"MILLSTREAM_URL": self.url}

    def __call__(self, *args: str, stdin: str = "", **environ: str) -> Done:
        return subprocess.run(
            self.command(*args),
            env=self.environ | environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "millstream.cli", *args]

    def submit(self, type_: str, payload: object = None, *args: str) -> dict[str, Any]:
        done = self("submit", type_, "--payload", json.dumps(payload), *args)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def lines(self, *args: str) -> list[dict[str, Any]]:
        done = self(*args)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


Done = subprocess.CompletedProcess[str]


def on_terminal(millstream: Commands, *args: str) -> str:
    """What the command prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    environ = millstream.environ | {"COLUMNS": "180", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        millstream.command(*args), env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            pass  # so Linux tells the end of a terminal
        os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()

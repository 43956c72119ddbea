"""The command line as a user runs it: a process for each command, beside all roles."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millstream.core import config
from millstream.core.config import Settings
from millstream.core.embedded import Postgres, Valkey
from millstream.core.embedded.ports import free_port

from .roles import running

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
            timeout=60,
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


@pytest.fixture(scope="module")
def millstream(
    valkey_server: Valkey,
    postgres_server: Postgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Commands]:
    valkey_server.start()
    postgres_server.start()
    name = f"commands_{uuid.uuid4().hex[:8]}"  # one for each module that asks
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    settings = config.override(
        Settings(),
        {
            "redis_url": valkey_server.url,
            "postgres_dsn": postgres_server.dsn_of(name),
            "namespace": name,
            "port": free_port(),
            "sweep": 0.2,
        },
    )
    with running(settings, tmp_path_factory.mktemp("roles"), str(HANDLERS)):
        yield Commands(settings)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
